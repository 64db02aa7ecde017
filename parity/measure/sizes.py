"""How much is looked at at once, in elements."""

from __future__ import annotations

BLOCK = 1 << 16  # fewer would not pay for the calls; of more, what is worked out would leave a level-2 cache
GLANCE = 1 << 8  # tells most rows that differ from equal ones
LONG = 1 << 20  # more of a row are not compared before it is asked whether the rest matters
