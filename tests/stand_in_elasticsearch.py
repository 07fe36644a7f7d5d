"""What Elasticsearch's REST API promises of the calls that the adapter makes."""

import copy
import json

from stand_in import JsonServer, Refused, nearest


def error(status, kind, reason):
    return Refused(status, {"error": {"type": kind, "reason": reason, "root_cause": []}, "status": status})


class Elasticsearch(JsonServer):
    headers = (("X-Elastic-Product", "Elasticsearch"),)
    content_type = "application/vnd.elasticsearch+json;compatible-with=9"

    def __init__(self):
        super().__init__()
        self.indices = {}

    def answer(self, method, path, query, body):
        parts = path.strip("/").split("/")
        if parts == [""]:
            return 200, {"version": {"number": "9.0.0"}, "tagline": "You Know, for Search"}
        name, *rest = parts
        if not rest:
            return self.index(method, name, body and json.loads(body), query)
        if name not in self.indices:
            raise error(404, "index_not_found_exception", f"no such index [{name}]")
        held = self.indices[name]
        action = rest[0]
        if action == "_bulk":
            return 200, self.bulk(held, [json.loads(line) for line in body.splitlines() if line])
        if action == "_msearch":
            lines = [json.loads(line) for line in body.splitlines() if line]
            assert not any(lines[::2])
            answers = [{"hits": {"hits": self.search(held, one)}, "status": 200} for one in lines[1::2]]
            return 200, {"took": 1, "responses": answers}
        given = json.loads(body) if body else {}
        if action == "_search":
            return 200, {"took": 1, "timed_out": False, "hits": {"hits": self.search(held, given)}}
        if action == "_count":
            return 200, {"count": len(held["documents"])}
        if action == "_doc":
            return self.document(method, held, rest[1], given)
        if action == "_update":
            return self.update(held, rest[1], given, query)
        raise error(400, "illegal_argument_exception", path)

    def index(self, method, name, given, query):
        there = name in self.indices
        if method == "HEAD":
            return (200 if there else 404), None
        if method == "PUT":
            if there:
                raise error(400, "resource_already_exists_exception", f"index [{name}] already exists")
            if name != name.lower() or name[0] in "_-+" or len(name.encode()) > 255:
                raise error(400, "invalid_index_name_exception", name)
            self.indices[name] = {"mapping": given["mappings"]["properties"], "documents": {}}
            return 200, {"acknowledged": True, "index": name}
        if method == "DELETE":
            if not there and query.get("ignore_unavailable") != "true":
                raise error(404, "index_not_found_exception", name)
            self.indices.pop(name, None)
            return 200, {"acknowledged": True}
        raise error(405, "method", method)

    def bulk(self, held, lines):
        items, lines = [], iter(lines)
        for line in lines:
            ((action, meta),) = line.items()
            if action == "delete":
                there = held["documents"].pop(meta["_id"], None) is not None
                items.append({"delete": {"_id": meta["_id"], "status": 200 if there else 404}})
                continue
            document = next(lines)
            dims = held["mapping"].get("vector", {}).get("dims")
            if dims is not None and len(document["vector"]) != dims:
                items.append(
                    {
                        "index": {
                            "_id": meta["_id"],
                            "status": 400,
                            "error": {"type": "document_parsing_exception"},
                        }
                    }
                )
                continue
            held["documents"][meta["_id"]] = document
            items.append({"index": {"_id": meta["_id"], "status": 201}})
        return {"errors": any("error" in r for i in items for r in i.values()), "items": items}

    def search(self, held, given):
        documents = list(held["documents"].items())
        size = given.get("size", 10)
        if size > 10_000:
            raise error(400, "illegal_argument_exception", "Result window is too large")
        if "knn" in given:
            knn = given["knn"]
            if knn["k"] > knn["num_candidates"] or knn["num_candidates"] > 10_000:
                raise error(400, "illegal_argument_exception", "[num_candidates] out of range")
            documents = [one for one in documents if all(holds(part, one[1]) for part in knn["filter"])]
            found = nearest(knn["query_vector"], [d["vector"] for _, d in documents], knn["k"])
            scored = [(*documents[i], (1 + cosine) / 2) for i, cosine in found]
        else:
            scored = [(i, d, None) for i, d in documents if holds(given["query"], d)]
            for order in reversed(given.get("sort", [])):
                ((field, way),) = order.items()
                assert way == "asc"
                scored.sort(key=lambda one, field=field: one[1][field])
        shown = given.get("_source")
        return [
            {
                "_id": i,
                "_score": score,
                "_source": copy.deepcopy({k: v for k, v in d.items() if shown is None or k in shown}),
            }
            for i, d, score in scored[:size]
        ]

    def document(self, method, held, key, given):
        if method == "GET":
            if key not in held["documents"]:
                raise Refused(404, {"_id": key, "found": False})
            return 200, {"_id": key, "found": True, "_source": held["documents"][key]}
        held["documents"][key] = given
        return 201, {"_id": key, "result": "created"}

    def update(self, held, key, given, query):
        if key not in held["documents"]:
            raise error(404, "document_missing_exception", key)
        path, _, amount = given["script"]["source"].partition(" += ")
        field = path.removeprefix("ctx._source.")
        held["documents"][key][field] += int(amount)
        shown = given.get("_source") or query.get("_source", "").split(",")
        return 200, {
            "_id": key,
            "result": "updated",
            "get": {"found": True, "_source": {f: held["documents"][key][f] for f in shown}},
        }


def holds(part, document):
    ((kind, given),) = part.items()
    if kind == "bool":
        assert set(given) == {"filter"}
        return all(holds(one, document) for one in given["filter"])
    ((field, wanted),) = given.items()
    values = document.get(field)
    values = values if isinstance(values, list) else [values]
    if kind == "term":
        return wanted in values
    if kind == "terms":
        return bool(set(wanted) & set(values))
    if kind == "range":
        tests = {"gt": lambda a, b: a > b, "lte": lambda a, b: a <= b}
        return any(all(tests[name](value, bound) for name, bound in wanted.items()) for value in values)
    raise error(400, "parsing_exception", f"unknown query [{kind}]")
