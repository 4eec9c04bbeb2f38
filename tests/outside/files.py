"""Reads what wafersim wrote with other people's readers: .ci/outside says which files."""

import json
import pathlib
import sys

import jsonschema
import pyarrow.parquet
from perfetto.protos.perfetto.trace import perfetto_trace_pb2

BEGIN, END, INSTANT, COUNTER = 1, 2, 3, 4
folder = pathlib.Path(sys.argv[1])


def document(name):
    return json.loads((folder / name).read_text())


def unknown(message):
    """Whether a message or one within it has a field that the published definition has not."""
    copy = type(message)()
    copy.CopyFrom(message)
    copy.DiscardUnknownFields()
    return copy.ByteSize() != message.ByteSize()


def trace(name):
    """Names of the tracks with their parents, and slices by track; every rule of the form holds."""
    read = perfetto_trace_pb2.Trace()
    read.ParseFromString((folder / name).read_bytes())
    assert read.packet and not unknown(read), f"{name}: a field that is not in the published protos"
    assert read.packet[0].sequence_flags == 1
    tracks, names, open_slices, slices, last = {}, {}, {}, [], {}
    for packet in read.packet:
        assert packet.trusted_packet_sequence_id == 1
        if packet.HasField("track_descriptor"):
            d = packet.track_descriptor
            assert d.uuid not in tracks and (not d.HasField("parent_uuid") or d.parent_uuid in tracks)
            tracks[d.uuid] = (d.name, tracks.get(d.parent_uuid, [None])[0], d.HasField("counter"))
            continue
        for event_name in packet.interned_data.event_names:
            assert event_name.iid not in names
            names[event_name.iid] = event_name.name
        event = packet.track_event
        track = event.track_uuid
        assert track in tracks and packet.timestamp >= last.get(track, 0), f"{name}: time goes back"
        last[track] = packet.timestamp
        assert tracks[track][2] == (event.type == COUNTER)
        stack = open_slices.setdefault(track, [])
        if event.type == BEGIN:
            stack.append((names[event.name_iid], packet.timestamp))
        elif event.type == END:
            begun, at = stack.pop()
            slices.append((tracks[track][0], begun, at, packet.timestamp))
        elif event.type == INSTANT:
            assert names[event.name_iid]
    assert not any(open_slices.values()), f"{name}: a slice does not end"
    return list(tracks.values()), slices


def traces():
    report = document("out.json")
    tracks, slices = trace("step.pftrace")
    assert [t[0] for t in tracks if t[1] is None] == ["wafer, one of 1 micro-batches (1 ns is 1 cycle)"]
    kernels = {k["name"] for k in report["kernels"]}
    assert kernels <= {name for track, name, _, _ in slices if track == "kernels"}
    assert max(end for _, _, _, end in slices) == report["step"]["cycles"]
    assert any(t[1] == "edges" for t in tracks) and any(t[0].startswith("lane 0") for t in tracks)

    tracks, slices = trace("hello.pftrace")
    parents = {t[0]: t[1] for t in tracks}
    assert parents["PE (1,0)"].startswith("receiver") and parents["main thread"].startswith("PE")
    assert parents["in q0 c0"] == "PE (1,0)", "queue counters"
    hello = document("hello.json")
    finish = {(x, y): cycle for x, y, cycle in hello["finish"]}
    busy = [s for s in slices if s[0] == "PE (1,0)" and s[1] != "idle"]
    assert max(s[3] for s in busy) == finish[1, 0], "the trace ends when the report says so"
    compute = sum(end - at for track, name, at, end in slices if name == "compute" and track.startswith("PE"))
    assert compute == hello["pe_cycles"]["compute"]
    tracks, _ = trace("chain.pftrace")
    assert sum(t[0].startswith("PE (") for t in tracks) == 16


def schemas():
    for schema, names in {
        "report": ["out.json"],
        "simulate": ["hello.json"],
        "counters": ["counters.json"],
        "why-program": ["why-program.json"],
        "manifest": ["out.run.json", "hello.run.json"],
        "why": ["why.json"],
    }.items():
        schema = document(f"{schema}.schema.json")
        jsonschema.Draft202012Validator.check_schema(schema)
        for name in names:
            jsonschema.validate(document(name), schema)


def tables():
    table = pyarrow.parquet.read_table(folder / "kernels.parquet").to_pydict()
    kernels = document("out.json")["kernels"]
    for column in ["name", "phase", "layer", "count", "cycles", "macs"]:
        assert table[column] == [k[column] for k in kernels], column


traces()
schemas()
tables()
