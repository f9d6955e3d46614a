"""Which emoji are variants of one: those must stay on one side of a split.

A woman, a man and a person who run, in any direction and of any skin tone, are one picture in
three details and one name in three words. Tested on one and trained on another, a model would be
praised for its memory.
"""

from __future__ import annotations

from collections.abc import Sequence

# Variation selector, joiner, skin tones, female and male sign, directions: details of one emoji.
_DETAILS = {"fe0f", "200d", "2640", "2642", "27a1", "2194", "2195"} | {
    f"{0x1F3FB + tone:x}" for tone in range(5)
}

# Woman and man of a kind -> the person of that kind.
_PERSON = {
    "1f468": "1f9d1",  # man -> person
    "1f469": "1f9d1",  # woman -> person
    "1f466": "1f9d2",  # boy -> child
    "1f467": "1f9d2",  # girl -> child
    "1f474": "1f9d3",  # old man -> older person
    "1f475": "1f9d3",  # old woman -> older person
    "1f934": "1fac5",  # prince -> person with crown
    "1f478": "1fac5",  # princess -> person with crown
    "1f57a": "1f483",  # dancing man -> dancing woman
    "1f930": "1fac4",  # pregnant woman -> pregnant person
    "1fac3": "1fac4",  # pregnant man -> pregnant person
}

# Emoji with a code of their own for what elsewhere is a sequence of persons.
_SEQUENCE = {
    ("1f385",): ("1f9d1", "1f384"),  # Santa Claus -> Mx Claus
    ("1f936",): ("1f9d1", "1f384"),  # Mrs. Claus -> Mx Claus
    ("1f46b",): ("1f9d1", "1f91d", "1f9d1"),  # woman and man holding hands -> people ...
    ("1f46c",): ("1f9d1", "1f91d", "1f9d1"),
    ("1f46d",): ("1f9d1", "1f91d", "1f9d1"),
    ("1f9d1", "2764", "1f48b", "1f9d1"): ("1f48f",),  # kiss
    ("1f9d1", "2764", "1f9d1"): ("1f491",),  # couple with heart
    ("1f9d1", "1f37c"): ("1f931",),  # feeding a baby -> breast-feeding
}
_ADULT, _CHILD, _FAMILY = "1f9d1", "1f9d2", "1f46a"


def variant_key(code: str) -> str:
    """Return what an emoji has in common with its variants.

    Skin tones, female and male signs and directions are dropped; woman and man become person,
    girl and boy child; every family becomes the family.

    Args:
        code: Code points in lower-case hexadecimal joined by "-", such as "1f469-200d-1f692".

    Example:
        >>> variant_key("1f469-200d-1f692"), variant_key("1f468-1f3fd-200d-1f692")
        ('1f9d1-1f692', '1f9d1-1f692')
    """
    parts = tuple(_PERSON.get(part, part) for part in code.split("-") if part not in _DETAILS)
    parts = parts or tuple(code.split("-"))  # the female sign itself
    return "-".join((_FAMILY,) if _is_family(parts) else _SEQUENCE.get(parts, parts))


def _is_family(parts: Sequence[str]) -> bool:
    return len(parts) > 1 and _CHILD in parts and set(parts) <= {_ADULT, _CHILD}
