"""Containers are listed from rows and from what is remembered of their members."""

from __future__ import annotations

from pod_server import documents


def test_a_listing_tells_of_members_that_came_changed_and_went_although_it_remembers(door, monkeypatch):
    opened = []
    original = documents._open_head
    monkeypatch.setattr(documents, "_open_head", lambda *args: opened.append(1) or original(*args))

    def listed():
        opened.clear()
        answer = door.get("many/")
        text = answer.get_data(as_text=True)
        return answer.headers["ETag"], text, len(opened)

    for name in ("a", "b/", "c"):
        assert door.put(f"many/{name}", "" if name.endswith("/") else "<#a> <#b> <#c> .").status_code == 201
    first = listed()
    again = listed()
    assert (again[0], again[1]) == (first[0], first[1])
    assert again[2] < first[2]
    door.put("many/a", "<#a> <#b> <#c>, <#d> .")
    changed = listed()
    assert changed[0] != first[0]
    assert changed[1] != first[1]
    door.put("many/b/new", "<#a> <#b> <#c> .")
    door("DELETE", "many/c")
    assert door.members("many/") == {"many/a", "many/b/"}
    assert listed()[0] != changed[0]
