"""Avro object container files, read as the specification has them: what a hub's storage endpoints write."""

import io
import json


def read(data):
    """The schema of a file, and its records."""
    stream = io.BytesIO(data)
    assert stream.read(4) == b"Obj\x01", "it is no Avro file"
    meta = value(stream, {"type": "map", "values": "bytes"})
    assert meta.get("avro.codec", b"null") == b"null", meta["avro.codec"]
    schema, sync, records = json.loads(meta["avro.schema"]), stream.read(16), []
    while stream.tell() < len(data):
        count, size = long(stream), long(stream)
        end = stream.tell() + size
        records += [value(stream, schema) for _ in range(count)]
        assert stream.tell() == end and stream.read(16) == sync, "a block does not end where it says"
    return schema, records


def long(stream):
    shift = result = 0
    while True:
        (byte,) = stream.read(1)
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (result >> 1) ^ -(result & 1)
        shift += 7


def value(stream, schema):
    if isinstance(schema, list):
        return value(stream, schema[long(stream)])
    kind = schema["type"] if isinstance(schema, dict) else schema
    match kind:
        case "null":
            return None
        case "bytes" | "string":
            found = stream.read(long(stream))
            return found.decode() if kind == "string" else found
        case "map":
            found = {}
            while count := long(stream):
                assert count > 0, "blocks with sizes are not written"
                for _ in range(count):
                    key = value(stream, "string")
                    found[key] = value(stream, schema["values"])
            return found
        case "record":
            return {field["name"]: value(stream, field["type"]) for field in schema["fields"]}
    raise AssertionError(f"unexpected type {kind}")
