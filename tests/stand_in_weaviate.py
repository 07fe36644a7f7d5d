"""What Weaviate promises of the calls that the adapter makes: the schema over REST, objects over gRPC."""

import json
import struct
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
from stand_in import JsonServer, Refused, nearest
from weaviate.proto.v1 import (
    aggregate_pb2,
    base_pb2,
    batch_delete_pb2,
    batch_pb2,
    health_weaviate_pb2,
    search_get_pb2,
    weaviate_pb2_grpc,
)

_OPERATORS = base_pb2.Filters.Operator


class Weaviate(JsonServer):
    """`port` is REST's, `grpc_port` the other."""

    def __init__(self):
        super().__init__()
        self.classes = {}
        self._grpc = grpc.server(ThreadPoolExecutor(16))
        weaviate_pb2_grpc.add_WeaviateServicer_to_server(_Objects(self), self._grpc)
        self._grpc.add_generic_rpc_handlers((_health(),))
        self.grpc_port = self._grpc.add_insecure_port("127.0.0.1:0")

    def __enter__(self):
        self._grpc.start()
        return super().__enter__()

    def __exit__(self, *rest):
        self._grpc.stop(0)
        super().__exit__(*rest)

    def answer(self, method, path, query, body):
        if path == "/v1/meta":
            return 200, {"version": "1.34.0", "hostname": "stand-in", "modules": {}}
        if path.startswith("/v1/.well-known"):
            if path.endswith("openid-configuration"):
                raise Refused(404, None)
            return 200, {}
        if path == "/v1/schema" and method == "POST":
            made = json.loads(body)
            name = made["class"]
            if not name[0].isupper() or not name.replace("_", "").isalnum():
                raise Refused(422, {"error": [{"message": f"'{name}' is not a valid class name"}]})
            if name in self.classes:
                raise Refused(422, {"error": [{"message": f"class name {name} already exists"}]})
            self.classes[name] = {"schema": made, "objects": {}}
            return 200, made
        name = path.removeprefix("/v1/schema/")
        if method == "DELETE":
            self.classes.pop(name, None)
            return 200, None
        if name not in self.classes:
            raise Refused(404, {"error": [{"message": "not found"}]})
        return 200, self.classes[name]["schema"]


def _health():
    def check(_request, _context):
        return health_weaviate_pb2.WeaviateHealthCheckResponse(status=1)

    handler = grpc.unary_unary_rpc_method_handler(
        check,
        request_deserializer=health_weaviate_pb2.WeaviateHealthCheckRequest.FromString,
        response_serializer=health_weaviate_pb2.WeaviateHealthCheckResponse.SerializeToString,
    )
    return grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler})


class _Objects(weaviate_pb2_grpc.WeaviateServicer):
    def __init__(self, server):
        self._server, self._lock = server, threading.RLock()

    def _class(self, name, context):
        if name not in self._server.classes:
            context.abort(grpc.StatusCode.UNKNOWN, f"could not find class {name} in schema")
        return self._server.classes[name]["objects"]

    def BatchObjects(self, request, context):
        errors = []
        with self._lock:
            for place, one in enumerate(request.objects):
                held = self._class(one.collection, context)
                properties = {
                    key: _plain(value) for key, value in one.properties.non_ref_properties.fields.items()
                }
                for array in one.properties.text_array_properties:
                    properties[array.prop_name] = list(array.values)
                packed = one.vectors[0].vector_bytes if one.vectors else one.vector_bytes
                vector = struct.unpack(f"<{len(packed) // 4}f", packed)
                others = next((len(v) for _, v in held.values()), len(vector))
                if len(vector) != others:
                    errors.append(
                        batch_pb2.BatchObjectsReply.BatchError(
                            index=place, error="vector lengths don't match"
                        )
                    )
                    continue
                held[one.uuid] = properties, vector
        return batch_pb2.BatchObjectsReply(errors=errors)

    def Search(self, request, context):
        with self._lock:
            rows = [
                (i, *o)
                for i, o in self._class(request.collection, context).items()
                if _holds(request.filters, request.HasField("filters"), o[0])
            ]
        if request.HasField("near_vector"):
            packed = _query(request.near_vector)
            found = nearest(
                struct.unpack(f"<{len(packed) // 4}f", packed), [r[2] for r in rows], request.limit
            )
            rows, distances = [rows[i] for i, _ in found], [1.0 - cosine for _, cosine in found]
        else:
            for order in reversed(request.sort_by):
                rows.sort(key=lambda row, path=order.path[0]: row[1][path], reverse=not order.ascending)
            rows = rows[: request.limit]
            distances = [None] * len(rows)
        return search_get_pb2.SearchReply(
            results=[_result(request, *pair) for pair in zip(rows, distances, strict=True)]
        )

    def BatchDelete(self, request, context):
        with self._lock:
            held = self._class(request.collection, context)
            gone = [i for i, o in held.items() if _holds(request.filters, True, o[0])]
            for one in gone:
                del held[one]
        return batch_delete_pb2.BatchDeleteReply(matches=len(gone), successful=len(gone))

    def Aggregate(self, request, context):
        count = len(self._class(request.collection, context))
        return aggregate_pb2.AggregateReply(
            single_result=aggregate_pb2.AggregateReply.Single(objects_count=count)
        )


def _query(near):
    if near.vectors:
        return near.vectors[0].vector_bytes
    if near.vector_for_targets:
        target = near.vector_for_targets[0]
        return target.vectors[0].vector_bytes if target.vectors else target.vector_bytes
    return near.vector_bytes


def _plain(value):
    return getattr(value, value.WhichOneof("kind"))


def _result(request, row, distance):
    uuid, properties, vector = row
    result = search_get_pb2.SearchResult()
    result.metadata.id = uuid
    if distance is not None and request.metadata.distance:
        result.metadata.distance, result.metadata.distance_present = distance, True
    if request.metadata.vector or request.metadata.vectors:
        packed = struct.pack(f"<{len(vector)}f", *vector)
        result.metadata.vectors.add(
            name="default", vector_bytes=packed, type=base_pb2.Vectors.VECTOR_TYPE_SINGLE_FP32
        )
    shown = set(request.properties.non_ref_properties)
    fields = result.properties.non_ref_props.fields
    for key, value in properties.items():
        if not shown or key in shown:
            if isinstance(value, list):
                fields[key].list_value.text_values.values.extend(value)
            elif isinstance(value, str):
                fields[key].text_value = value
            else:
                fields[key].number_value = value
    return result


def _holds(condition, given, properties):
    if not given:
        return True
    operator = condition.operator
    if operator == _OPERATORS.OPERATOR_AND:
        return all(_holds(one, True, properties) for one in condition.filters)
    held = properties[condition.target.property]
    values = held if isinstance(held, list) else [held]
    if operator == _OPERATORS.OPERATOR_EQUAL:
        return condition.value_text in values
    if operator == _OPERATORS.OPERATOR_CONTAINS_ANY:
        return bool(set(condition.value_text_array.values) & set(values))
    if operator == _OPERATORS.OPERATOR_CONTAINS_ALL:
        return set(condition.value_text_array.values) <= set(values)
    if operator == _OPERATORS.OPERATOR_GREATER_THAN:
        return held > condition.value_number
    if operator == _OPERATORS.OPERATOR_GREATER_THAN_EQUAL:
        return held >= condition.value_number
    if operator == _OPERATORS.OPERATOR_LESS_THAN_EQUAL:
        return held <= condition.value_number
    raise AssertionError(f"the stand-in does not know operator {operator}")
