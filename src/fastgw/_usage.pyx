# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: embedsignature=True, embedsignature.format=clinic
"""Decides what a call to a model has used, and what that costs: exact in nanos, rounded up once for a whole call."""
cimport cython
from libc.stdint cimport int64_t

from fastgw.kernels.price cimport (
    price_besides, price_count, price_nanos, price_part, price_sum, price_whole, wide_t,
)

cdef tuple NAMES = (
    "input", "cached", "written", "written_long", "audio_in", "image_in", "output", "reasoning", "audio_out",
    "image_out", "images", "searches", "characters", "seconds",
)


@cython.freelist(64)
@cython.no_gc
cdef class Usage:
    """What a call has used, in tokens; `input` and `output` are whole, the others say how much of them is of a kind.

    `cached` (read from the provider's cache), `written` (to it, and `written_long` of that for an hour), `audio_in` and
    `image_in` are part of `input`; `reasoning`, `audio_out` and `image_out` part of `output`. `images` and `searches`
    are counted one by one, `characters` and `seconds` of speech. Each fits 63 bits.
    """

    def __init__(self, int64_t input=0, int64_t cached=0, int64_t written=0, int64_t written_long=0,
                 int64_t audio_in=0, int64_t image_in=0, int64_t output=0, int64_t reasoning=0, int64_t audio_out=0,
                 int64_t image_out=0, int64_t images=0, int64_t searches=0, int64_t characters=0, int64_t seconds=0):
        self.input = input
        self.cached = cached
        self.written = written
        self.written_long = written_long
        self.audio_in = audio_in
        self.image_in = image_in
        self.output = output
        self.reasoning = reasoning
        self.audio_out = audio_out
        self.image_out = image_out
        self.images = images
        self.searches = searches
        self.characters = characters
        self.seconds = seconds

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Usage) and (<Usage>self)._all() == (<Usage>other)._all()

    def __repr__(self) -> str:
        said = [f"{name}={count}" for name, count in zip(NAMES, self._all()) if count]
        return f"Usage({', '.join(said)})"

    cdef tuple _all(self):
        return (
            self.input, self.cached, self.written, self.written_long, self.audio_in, self.image_in, self.output,
            self.reasoning, self.audio_out, self.image_out, self.images, self.searches, self.characters, self.seconds,
        )

    def replace(self, **changes) -> Usage:
        """The same with other counts of these names."""
        return Usage(**{**dict(zip(NAMES, self._all())), **changes})


@cython.no_gc
cdef class Tariff:
    """What a model costs, of a `model.Price` whose every amount fits 63 bits (OverflowError)."""

    def __init__(self, price: object):
        self.input = price.input
        self.cached = price.cached
        self.written = price.written
        self.written_long = price.written_long
        self.audio_in = price.audio_in
        self.image_in = price.image_in
        self.output = price.output
        self.reasoning = price.reasoning
        self.audio_out = price.audio_out
        self.image_out = price.image_out
        self.characters = price.characters
        self.image = price.image
        self.search = price.search
        self.second = price.second
        self.request = price.request
        self.above_tokens = price.above_tokens
        self.above = None if price.above is None else Tariff(price.above)

    cdef Tariff _tier(self, int64_t tokens):
        """What holds for a call whose input is that long."""
        cdef Tariff tier = self
        while tier.above is not None and tokens > tier.above_tokens:
            tier = tier.above
        return tier

    cdef wide_t _millionths(self, Usage usage, int64_t tokens) noexcept:
        """What a call costs in this tier, were its input that long.

        A provider whose parts are more than the whole is believed in the parts.
        """
        cdef wide_t sum = price_whole(1, self.request)
        cdef int64_t plain = price_besides(tokens, usage.cached, usage.written, usage.audio_in, usage.image_in)
        sum = price_sum(sum, price_part(plain, self.input))
        plain = price_besides(usage.output, usage.reasoning, usage.audio_out, usage.image_out, 0)
        sum = price_sum(sum, price_part(plain, self.output))
        sum = price_sum(sum, price_part(usage.cached, self.cached))
        sum = price_sum(sum, price_part(usage.reasoning, self.reasoning))
        if usage.written:
            sum = price_sum(sum, price_part(price_besides(usage.written, usage.written_long, 0, 0, 0), self.written))
            sum = price_sum(sum, price_part(usage.written_long, self.written_long))
        sum = price_sum(sum, price_part(usage.audio_in, self.audio_in))
        sum = price_sum(sum, price_part(usage.image_in, self.image_in))
        sum = price_sum(sum, price_part(usage.audio_out, self.audio_out))
        sum = price_sum(sum, price_part(usage.image_out, self.image_out))
        sum = price_sum(sum, price_part(usage.characters, self.characters))
        sum = price_sum(sum, price_whole(usage.images, self.image))
        sum = price_sum(sum, price_whole(usage.searches, self.search))
        return price_sum(sum, price_whole(usage.seconds, self.second))

    cpdef long long cost_nanos(self, Usage usage) noexcept:
        """What a call that has used this costs; a fraction of a nano counts as one, and what leaves 63 bits is the
        most that does not."""
        return price_nanos(self._tier(usage.input)._millionths(usage, usage.input))


cdef class Fare:
    """What one call costs as it goes on, by how many tokens of output there are; nothing until it is `rated`."""

    cpdef rated(self, Tariff tariff, Usage likely, long long input_tokens):
        """It goes to a model of that tariff. `likely` is what is used beside the output, most likely, and
        `input_tokens` how long its input is at most."""
        cdef Tariff tier = tariff._tier(input_tokens)
        self.start = tier._millionths(likely, input_tokens)
        self.each = max(tier.output, tier.reasoning)
        tier = tariff._tier(likely.input)
        self.likely_start = tier._millionths(likely, likely.input)
        self.likely_each = tier.output

    cpdef long long most_nanos(self, long long tokens) noexcept:
        """The most that it may cost with so many."""
        return price_nanos(price_sum(self.start, price_part(tokens, self.each)))

    cpdef long long paid_tokens(self, long long nanos, long long most) noexcept:
        """How many there may be for so many nanos, `most` at most, and where they cost nothing."""
        return price_count(self.start, self.each, nanos, most)

    cpdef long long likely_nanos(self, long long tokens) noexcept:
        """What it most likely costs with so many, of text."""
        return price_nanos(price_sum(self.likely_start, price_part(tokens, self.likely_each)))
