"""The place where the service listens."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from ior_nb.engine.collector.served.service import NotServing, bound


@pytest.mark.parametrize("link", [False, True])
def test_what_is_no_socket_stays(tmp_path: Path, *, link: bool) -> None:
    """A file with that name, or a link, is refused and not taken away."""
    (tmp_path / "file").write_text("precious")
    place = tmp_path / "file"
    if link:
        place = tmp_path / "link"
        place.symlink_to("file")
    with pytest.raises(NotServing, match="is no socket"):
        bound(str(place))

    assert place.read_text() == "precious"
    assert place.is_symlink() == link


def test_a_socket_nobody_listens_on_is_replaced(tmp_path: Path) -> None:
    """It was left behind by a service that was killed."""
    place = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(place)
    with bound(place), socket.socket(socket.AF_UNIX) as client:
        client.connect(place)

        assert client.getpeername() == place
