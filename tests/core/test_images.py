"""What a row remembers of a certificate comes back as it was."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from certstream.core.rows import FORM, RAW, Image, Row, encode, unpack
from certstream.core.times import FIRST_MS, LAST_MS, rfc3339

HEX = st.text("0123456789abcdef", max_size=140)
NAMES = ("identifier", "serialNumber", "parentIdentifier", "sha2", "md5")
CERTIFICATES = st.fixed_dictionaries(
    {"identifier": HEX | st.text(max_size=20)},
    optional={
        **{name: HEX | st.text(max_size=20) for name in NAMES[1:]},
        "notBefore": st.integers(FIRST_MS, LAST_MS).map(rfc3339),
        "notAfter": st.sampled_from([FIRST_MS, -1, 0, LAST_MS]).map(rfc3339),
        "commonName": st.text(max_size=40),
        "days": st.integers(0, 2**53 - 1),
    },
)


@given(certificate=CERTIFICATES, pem=st.none() | HEX, same=st.booleans())
def test_an_image_comes_back_as_it_was_whatever_its_fields_look_like(
    certificate: dict[str, Any], pem: str | None, same: bool
) -> None:
    image = Image(certificate, certificate.get("sha2") if same else pem)
    assert unpack(image.pack()) == image


@given(sequence=st.integers(0, 2**63), at=st.integers(0, 2**62), raw=st.binary(min_size=16, max_size=16))
def test_the_hash_of_a_record_lies_where_the_inventory_looks_for_it(sequence: int, at: int, raw: bytes) -> None:
    row = Row(
        FORM,
        raw,
        sequence,
        b"h" * 32,
        b"i" * 32,
        at,
        at,
        at,
        at,
        None,
        at,
        None,
        (),
        False,
        True,
        2**40 - 1,
        2**32 - 1,
        b"x",
    )
    assert encode(row)[RAW] == raw
