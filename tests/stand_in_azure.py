"""What Azure AI Search's REST API promises of the calls that the adapter makes."""

import copy
import json
import re

from stand_in import JsonServer, Refused, nearest

_INDEX = re.compile(r"^/indexes(?:\('(?P<name>[^']+)'\))?(?P<rest>/.*)?$")
_TERMS = (
    (re.compile(r"^tags/any\(tag: tag eq '(\w+)'\)$"), lambda d, tag: tag in d["tags"]),
    (
        re.compile(r"^tags/any\(tag: search\.in\(tag, '([\w,]+)', ','\)\)$"),
        lambda d, some: bool(set(some.split(",")) & set(d["tags"])),
    ),
    (re.compile(r"^search\.in\(key, '([\w,]+)', ','\)$"), lambda d, some: d["key"] in some.split(",")),
    (re.compile(r"^key gt '(\w+)'$"), lambda d, after: d["key"] > after),
    (re.compile(r"^expires gt ([\d.e+]+)$"), lambda d, at: d["expires"] > float(at)),
    (re.compile(r"^expires le ([\d.e+]+)$"), lambda d, at: d["expires"] <= float(at)),
    (re.compile(r"^kind eq '(\w+)'$"), lambda d, kind: d["kind"] == kind),
)


def error(status, code, message):
    return Refused(status, {"error": {"code": code, "message": message}})


class Azure(JsonServer):
    def __init__(self, context=None):
        super().__init__(context)
        self.indexes = {}

    def answer(self, method, path, query, body):
        assert query["api-version"]
        address = _INDEX.match(path)
        if address is None:
            raise error(404, "NotFound", path)
        name, rest, given = address["name"], address["rest"] or "", json.loads(body) if body else {}
        if not rest:
            return self.index(method, name, given)
        if name not in self.indexes:
            raise error(404, "IndexNotFound", f"No index with the name '{name}' was found")
        held = self.indexes[name]
        if rest == "/docs/search.index":
            return 200, {"value": [self.change(held, one) for one in given["value"]]}
        if rest == "/docs/search.post.search":
            return 200, {"value": self.search(held, given)}
        if rest == "/docs/$count":
            return 200, len(held["documents"])
        key = re.match(r"^/docs\('(\w+)'\)$", rest)
        if key is not None and method == "GET":
            if key[1] not in held["documents"]:
                raise error(404, "ResourceNotFound", "document")
            return 200, held["documents"][key[1]]
        raise error(400, "BadRequest", f"{method} {path}")

    def index(self, method, name, given):
        if method == "PUT":
            assert re.fullmatch(r"[a-z0-9](?:[a-z0-9]|-(?!-)){1,127}", name), name
            there = name in self.indexes
            self.indexes.setdefault(name, {"documents": {}})["definition"] = given
            return (200 if there else 201), given
        if method == "GET":
            if name not in self.indexes:
                raise error(404, "IndexNotFound", name)
            return 200, self.indexes[name]["definition"]
        assert method == "DELETE"
        if self.indexes.pop(name, None) is None:
            raise error(404, "IndexNotFound", name)
        return 204, None

    def change(self, held, given):
        action, key = given.pop("@search.action"), given["key"]
        known = {field["name"]: field for field in held["definition"]["fields"]}
        assert set(given) <= set(known), set(given) - set(known)
        if action == "delete":
            held["documents"].pop(key, None)
        elif action == "upload":
            if "vector" in known and len(given["vector"]) != known["vector"]["dimensions"]:
                return {"key": key, "status": False, "errorMessage": "dimensions", "statusCode": 400}
            held["documents"][key] = given
        elif action == "merge":
            held["documents"][key].update(given)
        else:
            raise error(400, "BadRequest", action)
        return {"key": key, "status": True, "errorMessage": None, "statusCode": 200}

    def search(self, held, given):
        documents = [one for one in held["documents"].values() if passes(given.get("filter"), one)]
        top = given.get("top", 50)
        assert top <= 1000
        if given.get("vectorQueries"):
            (asked,) = given["vectorQueries"]
            assert asked["kind"] == "vector"
            assert given["vectorFilterMode"] == "preFilter"
            found = nearest(asked["vector"], [one[asked["fields"]] for one in documents], asked["k"])
            scored = [(documents[i], 1.0 / (2.0 - cosine)) for i, cosine in found]
        else:
            assert given["search"] == "*"
            if given.get("orderby"):
                assert given["orderby"] == "key asc"
                documents.sort(key=lambda one: one["key"])
            scored = [(one, 1.0) for one in documents]
        shown = given["select"].split(",") if given.get("select") else None
        return [
            {
                "@search.score": score,
                **copy.deepcopy({k: v for k, v in one.items() if shown is None or k in shown}),
            }
            for one, score in scored[:top]
        ]


def passes(condition, document):
    for term in (condition or "").split(" and ") if condition else ():
        for pattern, test in _TERMS:
            found = pattern.match(term)
            if found:
                if not test(document, found[1]):
                    return False
                break
        else:
            raise error(400, "InvalidFilter", term)
    return True
