"""Something that must not be."""


class Violation(Exception):
    """Something that must not be."""


def must(holds, *says):
    if not holds:
        raise Violation(" ".join(str(word) for word in says))


def first_difference(one, other):
    for at in range(0, max(len(one), len(other)), 4096):
        a, b = one[at:at + 4096], other[at:at + 4096]
        if a != b:
            return at + next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    return None
