"""Layers over layers: what is added, changed, deleted and hidden, as Docker's own tools leave it."""

import pytest

import images
from images import Layer
from jobs import unique


@pytest.fixture
def seen(boxes, box_tar):
    """Loads busybox with layers over it, the lowest first, and gives what a script sees of them."""

    def look(script, *layers, **config):
        name = unique("layers")
        image = images.image(box_tar, *(layer.tar() for layer in layers), **config)
        boxes.node.load(name, images.layout_tar(image))
        return boxes.said(script, image=name)

    return look


def test_the_upper_layers_file_is_the_one(seen):
    lines = seen(
        "cat /f", Layer().file("f", "low\n"), Layer().file("f", "middle\n"), Layer().file("f", "high\n")
    )
    assert lines == ["high"]


def test_of_a_name_that_a_layer_has_twice_the_later_is_the_one(seen):
    assert seen("cat /f", Layer().file("f", "first\n").file("f", "second\n")) == ["second"]


def test_folders_of_all_layers_are_one(seen):
    layers = [Layer().folder("d").file(f"d/{name}", "x") for name in "abc"]
    assert seen("ls /d", *layers) == ["a", "b", "c"]


def test_a_deleted_file_is_gone(seen):
    lines = seen("ls /d", Layer().folder("d").file("d/a", "x").file("d/b", "x"), Layer().whiteout("d/a"))
    assert lines == ["b"]


def test_a_deleted_folder_is_gone_with_all_that_was_in_it(seen):
    low = Layer().folder("d").folder("d/e").file("d/e/f", "x").file("g", "x")
    assert seen("ls -d /d /d/e /g 2>/dev/null; :", low, Layer().whiteout("d")) == ["/g"]


def test_what_was_deleted_and_comes_again_comes_alone(seen):
    low = Layer().folder("d").file("d/old", "x")
    assert seen("ls /d", low, Layer().whiteout("d"), Layer().folder("d").file("d/new", "x")) == ["new"]


def test_a_folder_that_is_deleted_and_made_anew_in_one_layer_shows_nothing_from_below(seen):
    low = Layer().folder("d").file("d/old", "x")
    assert seen("ls /d", low, Layer().whiteout("d").folder("d").file("d/new", "x")) == ["new"]
    assert seen("ls /d", low, Layer().folder("d").file("d/new", "x").whiteout("d")) == ["new"]


def test_an_opaque_folder_shows_its_own_layer_alone(seen):
    low = Layer().folder("d").file("d/old", "x").folder("d/e").file("d/e/old", "x")
    high = Layer().folder("d").opaque("d").file("d/new", "x")
    assert seen("find /d | sort", low, high) == ["/d", "/d/new"]
    # Wherever in the layer that stands.
    assert seen("ls /d", low, Layer().folder("d").file("d/new", "x").opaque("d")) == ["new"]


def test_a_layer_above_an_opaque_folder_adds_to_it(seen):
    low = Layer().folder("d").file("d/old", "x")
    high = Layer().folder("d").file("d/newer", "x")
    assert seen("ls /d", low, Layer().folder("d").opaque("d").file("d/new", "x"), high) == ["new", "newer"]


def test_deleting_what_is_not_there_is_no_error(seen):
    assert seen("echo done", Layer().whiteout("nothing").whiteout("no/where/at/all")) == ["done"]


def test_a_file_takes_a_folders_place_and_the_other_way_round(seen):
    low = Layer().folder("a").file("a/in", "x").file("b", "x")
    high = Layer().file("a", "a file\n").folder("b").file("b/in", "x")
    assert seen("cat /a; ls /b", low, high) == ["a file", "in"]


def test_a_link_takes_a_folders_place_and_the_other_way_round(seen):
    low = Layer().folder("a").file("a/in", "x").symlink("b", "etc").folder("to").file("to/there", "x")
    high = Layer().symlink("a", "to").folder("b").file("b/own", "x")
    assert seen("ls /a /b; ls -d /etc/own 2>/dev/null; :", low, high) == ["/a:", "there", "", "/b:", "own"]


def test_a_file_below_a_link_of_a_lower_layer_is_found_there(seen):
    # As where `var/run` leads to `/run`. Whether the link stays differs between tools.
    low = Layer().folder("run").folder("var").symlink("var/run", "/run")
    assert seen("cat /var/run/x", low, Layer().file("var/run/x", "x\n")) == ["x"]


def test_hard_links_of_one_layer_are_one_file(seen):
    layer = Layer().file("a", "x\n").hardlink("b", "a").folder("d").hardlink("d/c", "/b")
    lines = seen("stat -c '%h %i' /a /b /d/c | sort -u; echo more >> /a; cat /d/c", layer)
    assert lines[0].split()[0] == "3"
    assert lines[1:] == ["x", "more"] or lines[1:] == ["x"]


def test_a_hard_link_stays_as_it_was_where_a_layer_above_changes_the_other(seen):
    low = Layer().file("a", "old\n").hardlink("b", "a")
    assert seen("cat /a /b", low, Layer().file("a", "new\n")) == ["new", "old"]
    assert seen("cat /b", low, Layer().whiteout("a")) == ["old"]


def test_owners_modes_and_times_are_the_archives(seen):
    layer = Layer().file("f", "x", mode=0o640, uid=1000, gid=44).folder("d", mode=0o1777, uid=7)
    lines = seen("stat -c '%a %u:%g %Y' /f; stat -c '%a %u:%g' /d", layer)
    assert lines == ["640 1000:44 1000000000", "1777 7:0"]


def test_a_folder_takes_the_mode_of_the_topmost_layer_that_has_it(seen):
    low = Layer().folder("d", mode=0o700, uid=5)
    assert seen("stat -c '%a %u' /d", low, Layer().folder("d", mode=0o755, uid=6)) == ["755 6"]


def test_a_folder_that_no_layer_describes_is_for_everybody(seen):
    assert seen("stat -c '%a %u' /x /x/y; cat /x/y/z", Layer().file("x/y/z", "deep\n"), User="alice") == [
        "755 0",
        "755 0",
        "deep",
    ]


def test_a_folder_that_only_a_lower_layer_describes_stays_as_it_is(seen):
    low = Layer().folder("d", mode=0o711, uid=1000, gid=100)
    assert seen("stat -c '%a %u:%g' /d", low, Layer().file("d/f", "x")) == ["711 1000:100"]


def test_the_root_folder_is_as_the_topmost_description_says(seen):
    assert seen("stat -c '%a %u' /", Layer().file("f", "x")) == ["755 0"]
    assert seen("stat -c '%a %u' /", Layer().folder("./", mode=0o711), Layer().file("f", "x")) == ["711 0"]


def test_links_are_what_the_image_says_even_where_they_lead_nowhere(seen):
    layer = Layer().symlink("l", "/no/where").symlink("up", "../../../../etc/hostname")
    assert seen("readlink /l; readlink /up; cat /up", layer) == [
        "/no/where",
        "../../../../etc/hostname",
        "localhost",
    ]


def test_names_may_be_anything_a_file_system_takes(seen):
    layer = (
        Layer()
        .file("with space", "1\n")
        .file("ümlaut-€", "2\n")
        .file("-dash", "3\n")
        .file("new\nline", "4\n")
    )
    layer.file("/".join(["long" * 30] * 3), "5\n")
    assert seen("cat '/with space' /ümlaut-€ /-dash /new*line /long*/long*/long*", layer) == list("12345")


def test_a_large_file_with_holes_arrives_whole(seen):
    content = bytes(3 << 20) + b"end\n"
    assert seen("tail -c 4 /f; stat -c %s /f", Layer().file("f", content)) == ["end", str(len(content))]


def test_an_empty_layer_is_a_layer(seen):
    assert seen("cat /f", Layer(), Layer().file("f", "x\n"), Layer()) == ["x"]


def test_the_same_layer_twice_is_no_trouble(seen):
    layers = [Layer().file("f", "x\n") for _ in range(3)]
    assert seen("cat /f", *layers) == ["x"]


def test_an_image_of_a_hundred_layers_runs(seen):
    layers = [Layer().folder("d").file(f"d/{number}", f"{number}\n") for number in range(100)]
    assert seen("ls /d | wc -l; cat /d/0 /d/99", *layers) == ["100", "0", "99"]


def test_layers_can_be_deleted_from_by_the_job_too(seen):
    low = Layer().folder("d").file("d/a", "x").file("d/b", "x")
    assert seen("rm /d/a; ls /d; rm -r /d; mkdir /d; ls /d; echo end", low, Layer().file("d/c", "x")) == [
        "b",
        "c",
        "end",
    ]
