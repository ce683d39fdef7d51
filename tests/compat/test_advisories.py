"""What we depend on against the security advisories that are known to concern it."""

import re
import sys

import pytest

from daemon import REPOSITORY

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

KNOWN = tomllib.loads((REPOSITORY / "tests" / "advisories.toml").read_text())
LOCKED = tomllib.loads((REPOSITORY / "Cargo.lock").read_text())


def parsed(version):
    """A release's numbers. What is no release can't be compared this way, and isn't depended on."""
    found = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)(\+.*)?", version)
    assert found, f"{version} is not the version of a release"
    return tuple(int(number) for number in found.groups()[:3])


def within(version, bounds):
    """Whether a version keeps within `>= 1.2.3, < 2.0.0`."""
    for bound in bounds.split(","):
        relation, limit = re.fullmatch(r"\s*(>=|<)\s*(\S+)\s*", bound).groups()
        at_least = parsed(version) >= parsed(limit)
        if at_least != (relation == ">="):
            return False
    return True


def concerns(advisory, version):
    return not any(within(version, bounds) for bounds in advisory["patched"] + advisory.get("unaffected", []))


def locked(package):
    return [entry["version"] for entry in LOCKED["package"] if entry["name"] == package]


@pytest.mark.parametrize("advisory", KNOWN["advisory"], ids=lambda advisory: advisory["id"])
def test_no_known_advisory_concerns_what_is_locked(advisory):
    versions = locked(advisory["package"])
    assert versions, f"{advisory['package']} isn't depended on any more: remove {advisory['id']}"
    hit = [version for version in versions if concerns(advisory, version)]
    assert not hit, f"{advisory['package']} {hit}: {advisory['id']}, {advisory['title']}"


def test_each_advisory_is_listed_once_and_none_is_newer_than_the_list_says():
    ids = [advisory["id"] for advisory in KNOWN["advisory"]]
    assert len(ids) == len(set(ids))
    assert max(ids) <= KNOWN["last"]


@pytest.mark.parametrize(
    ("version", "hit"),
    [
        ("38.9.9", False),
        ("39.0.0", True),
        ("48.0.3", True),
        ("48.0.4", False),
        ("49.0.1", True),
        ("49.0.2", False),
    ],
)
def test_an_advisory_is_recognised_by_its_versions(version, hit):
    [advisory] = [advisory for advisory in KNOWN["advisory"] if advisory["id"] == "RUSTSEC-2026-0327"]
    assert concerns(advisory, version) == hit
