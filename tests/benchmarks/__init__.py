"""How fast the library is, each figure against a baseline of the same run.

``python -m tests.benchmarks`` measures all, ``python -m tests.benchmarks NAME…`` some; ``--list`` tells the names.

One module an area. A module has functions that measure, and ``BENCHMARKS``, which ``suite.py`` collects::

    @asynccontextmanager
    async def _verifying(scale: Scale) -> AsyncIterator[Sides]:
        count = scale.of(10_000)                        # a few in a smoke test
        async def ours() -> Sample:
            return per_call(verify, count)              # {"seconds": …}
        async def theirs() -> Sample:
            return per_call(bare_verify, count)
        yield {"ours": ours, "theirs": theirs}          # what is opened here is closed after the last round

    BENCHMARKS = (
        Benchmark(
            name="verify",
            sides=_verifying,
            figures=(Figure("verify with all checks", "the bare verify", at_most(1.3), "seconds", "ours", "theirs"),),
        ),
    )

Each round calls every side once, in turning order, and gives one value of every figure; the median counts.
A side that needs what is not on this machine raises ``Unavailable`` when it is opened.
"""
