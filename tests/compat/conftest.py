"""Fixtures: a node that most tests share, and nodes of their own for those that need one."""

import pytest

import images
from daemon import Daemon
from jobs import ContainerLab, Lab
from registries import LyingRegistry, Registry

_RUNNING = pytest.StashKey[list]()


def pytest_configure(config):
    config.stash[_RUNNING] = []


@pytest.fixture(scope="session")
def _shared_node(tmp_path_factory, pytestconfig):
    node = Daemon(tmp_path_factory.mktemp("node"))
    pytestconfig.stash[_RUNNING].append(node)
    node.start().push_guests()
    yield node
    code = node.stop()
    assert code == 0, f"SIGTERM ended the shared daemon with {code}\n{node.stderr()}"


@pytest.fixture
def node(_shared_node):
    """The node that tests share: 2 vCPUs, 2048 MiB, all example guests uploaded.

    A test that ends or overloads the daemon uses `new_node` instead."""
    assert _shared_node.process.poll() is None, f"the shared daemon died\n{_shared_node.stderr()}"
    return _shared_node


@pytest.fixture
def lab(node):
    lab = Lab(node)
    yield lab
    lab.close()


@pytest.fixture
def batch(lab):
    return lab.batch


@pytest.fixture
def logs(lab):
    return lab.logs


def _makes_nodes(folder, running):
    """Makes daemons below a folder; each must end with exit code 0."""
    nodes = []

    def make(**options):
        node = Daemon(folder / f"node-{len(nodes)}", **options)
        nodes.append(node)
        running.append(node)
        return node.start()

    yield make
    for node in nodes:
        running.remove(node)
        if node.process is not None and node.process.poll() is None:
            code = node.stop()
            assert code == 0, f"SIGTERM ended the daemon with {code}\n{node.stderr()}"


@pytest.fixture
def new_node(tmp_path, pytestconfig):
    """Makes daemons with data folders of their own; each must end with exit code 0."""
    yield from _makes_nodes(tmp_path, pytestconfig.stash[_RUNNING])


@pytest.fixture(scope="module")
def module_node(tmp_path_factory, pytestconfig):
    """Makes daemons as `new_node` does, for all tests of a module."""
    yield from _makes_nodes(tmp_path_factory.mktemp("module"), pytestconfig.stash[_RUNNING])


@pytest.fixture(scope="session")
def box_tar():
    """The layer that is busybox."""
    images.need_root()
    return images.box_layer()


@pytest.fixture(scope="session")
def box(box_tar):
    """Busybox as an image."""
    return images.box(box_tar=box_tar)


@pytest.fixture(scope="session")
def _shared_container_node(tmp_path_factory, pytestconfig, box):
    makes = _makes_container_nodes(tmp_path_factory.mktemp("containers"), pytestconfig.stash[_RUNNING], box)
    # Registries of tests speak plain HTTP, whatever their port.
    yield next(makes)(flags=["--insecure-registry", "127.0.0.1"])
    yield from makes


@pytest.fixture
def container_node(_shared_container_node):
    """The node that tests of images share: busybox is loaded as `box`."""
    node = _shared_container_node
    assert node.process.poll() is None, f"the shared daemon died\n{node.stderr()}"
    return node


@pytest.fixture(scope="session")
def registry(tmp_path_factory):
    """A registry that anybody may pull from, and the tests push to."""
    registry = Registry(tmp_path_factory.mktemp("registry") / "open").start()
    yield registry
    registry.stop()


@pytest.fixture
def liar():
    """A registry that lies where a test tells it to."""
    registry = LyingRegistry()
    yield registry
    registry.close()


@pytest.fixture
def boxes(container_node):
    """A lab for containers on the shared node. Nothing may be left of them at the end."""
    lab = ContainerLab(container_node)
    yield lab
    lab.close()


@pytest.fixture
def new_container_node(tmp_path, pytestconfig, box):
    """Makes daemons with busybox loaded and data folders of their own."""
    images.need_root()
    yield from _makes_container_nodes(tmp_path, pytestconfig.stash[_RUNNING], box)


@pytest.fixture(scope="module")
def module_container_node(tmp_path_factory, pytestconfig, box):
    """Makes daemons as `new_container_node` does, for all tests of a module."""
    images.need_root()
    folder = tmp_path_factory.mktemp("module")
    yield from _makes_container_nodes(folder, pytestconfig.stash[_RUNNING], box)


def _makes_container_nodes(folder, running, box):
    """As `_makes_nodes`, with busybox loaded."""
    makes = _makes_nodes(folder, running)
    make = next(makes)

    def make_one(flags=(), vcpus=16, memory=8192, **options):
        flags = ["--container-runtime", images.tool("runc"), *flags]
        node = make(vcpus=vcpus, memory=memory, flags=flags, **options)
        node.load(ContainerLab.BOX, images.layout_tar(box))
        return node

    yield make_one
    yield from makes


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Shows what the daemons wrote while a test failed."""
    report = yield
    if report.failed:
        for node in item.config.stash[_RUNNING]:
            text = node.stderr()
            report.sections.append((f"{node.log} (its end)", text[-8000:]))
    return report
