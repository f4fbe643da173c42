"""How an architecture's table of system call numbers is written down."""


def read_numbers(table: str) -> dict[str, int]:
    """Return the number of each name.

    Args:
        table: lines of a number and names; the names have that number and those that follow it.
    """
    numbers: dict[str, int] = {}
    for line in table.strip().splitlines():
        first, *names = line.split()
        numbers.update((name, int(first) + index) for index, name in enumerate(names))
    return numbers
