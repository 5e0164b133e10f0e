from tokzoo.data.event_file import EventFile


def test_events_are_read_once_and_only_whole_ones(tmp_path):
    path = tmp_path / "cell" / "events.jsonl"
    writer, reader = EventFile(path), EventFile(path)
    assert reader.read() == []
    writer.append({"kind": "started"})
    writer.append({"kind": "step", "step": 10})
    with path.open("a") as file:
        file.write('{"kind": "fin')
    assert reader.read() == [{"kind": "started"}, {"kind": "step", "step": 10}]
    assert reader.read() == []
    with path.open("a") as file:
        file.write('ished"}\n')
    assert reader.read() == [{"kind": "finished"}]
    assert len(EventFile(path).read()) == 3


def test_lines_that_are_no_events_are_passed_over(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"kind": "started"}\n\x00\xff{"kind": "st\n[1]\n{"step": 3}\n{"kind": "finished"}\n')
    assert EventFile(path).read() == [{"kind": "started"}, {"kind": "finished"}]
