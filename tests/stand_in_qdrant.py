"""Qdrant's REST API over the client library's own local engine, for the modes that take an address."""

import json

from qdrant_client import QdrantClient, models
from stand_in import JsonServer, Refused


class Qdrant(JsonServer):
    def __init__(self):
        super().__init__()
        self.local = QdrantClient(":memory:")
        self.indexed = {}

    def answer(self, method, path, query, body):
        parts = path.strip("/").split("/")
        if parts == [""]:
            return 200, {"title": "qdrant - vector search engine", "version": "1.16.0"}
        assert parts[0] == "collections"
        name, rest = parts[1], tuple(parts[2:])
        given = json.loads(body) if body else {}
        if rest == ("exists",):
            return self.done({"exists": self.local.collection_exists(name)})
        if rest == () and method == "PUT":
            if self.local.collection_exists(name):
                raise Refused(409, {"status": {"error": f"Collection `{name}` already exists!"}})
            made = models.CreateCollection(**given)
            self.local.create_collection(name, vectors_config=made.vectors)
            return self.done(True)
        if not self.local.collection_exists(name):
            if method == "DELETE":
                return self.done(False)
            raise Refused(404, {"status": {"error": f"Not found: Collection `{name}` doesn't exist!"}})
        if method == "DELETE":
            return self.done(self.local.delete_collection(name))
        if rest == ("index",):
            self.indexed.setdefault(name, {})[given["field_name"]] = given["field_schema"]
            return self.done({"operation_id": 0, "status": "completed"})
        return self.done(self.points(method, name, rest[1:], given))

    def done(self, result):
        return 200, {"result": result, "status": "ok", "time": 0.001}

    def points(self, method, name, action, given):
        updated = {"operation_id": 0, "status": "completed"}
        if action == () and method == "PUT":
            self.local.upsert(name, models.PointsList(**given).points)
            return updated
        if action == ():
            asked = models.PointRequest(**given)
            found = self.local.retrieve(
                name, asked.ids, with_payload=asked.with_payload, with_vectors=bool(asked.with_vector)
            )
            return [one.model_dump(mode="json") for one in found]
        if action == ("scroll",):
            asked = models.ScrollRequest(**given)
            found, offset = self.local.scroll(
                name,
                asked.filter,
                limit=asked.limit,
                offset=asked.offset,
                with_vectors=bool(asked.with_vector),
            )
            return {"points": [one.model_dump(mode="json") for one in found], "next_page_offset": offset}
        if action == ("query", "batch"):
            return [self.nearest(name, models.QueryRequest(**one)) for one in given["searches"]]
        if action == ("count",):
            return {"count": self.local.count(name, exact=True).count}
        if action == ("delete",):
            chosen = models.PointIdsList(**given) if "points" in given else models.FilterSelector(**given)
            self.local.delete(name, chosen)
            return updated
        if action == ("payload",) and method == "POST":
            self.local.set_payload(name, given["payload"], points=given["points"])
            return updated
        raise Refused(400, {"status": {"error": f"{method} {action}"}})

    def nearest(self, name, asked):
        assert asked.with_payload
        vector = asked.query.nearest if isinstance(asked.query, models.NearestQuery) else asked.query
        found = self.local.query_points(name, query=vector, query_filter=asked.filter, limit=asked.limit)
        return {"points": [one.model_dump(mode="json") for one in found.points]}
