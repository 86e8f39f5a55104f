"""Several requests of one program at once: one question stands on the terminal, and what is typed answers that one."""

from __future__ import annotations

import signal

from tests.support import Browser, House

from .serving import terminal
from .test_client import code_now

PROGRAM = """
import asyncio, httpx, signal, sys
from stepup_middleware.client import StepUpAuth

url, cookie, asked = sys.argv[1], sys.argv[2], sys.argv[3:]

async def main():
    async with httpx.AsyncClient(auth=StepUpAuth(url), headers={"Cookie": cookie}, timeout=60) as client:
        async def ask(amount):
            answer = await client.post(f"{url}/inside?amount={amount}")
            print(amount, answer.status_code, flush=True)

        if asked[0] == "together":
            await asyncio.gather(ask(1), ask(1000000))
            return
        first = asyncio.create_task(ask(1))
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, first.cancel)
        try:
            await first
        except asyncio.CancelledError:
            await ask(1000000)

asyncio.run(main())
"""


def program(house: House, url: str, how: str) -> list[str]:
    return ["-c", PROGRAM, url, f"session={house.sign_in('ada').session_id}", how]


async def test_of_two_questions_at_once_the_second_is_shown_once_the_first_is_answered(
    house: House, ada: Browser, url: str
) -> None:
    async with terminal(*program(house, url, "together")) as asking:
        first = (await asking.shows(r"Amount: (1000000|1)\b"))[1]
        second = "1" if first == "1000000" else "1000000"
        await asking.shows("Code from your authenticator app")
        asking.types("000000\n")  # it is asked again, or the other one, and no two stand there
        await asking.shows(r"(?s)Code from.+Code from[^\n]+: $")
        shown = asking.shown.split("Amount: ")[-1].split()[0]
        asking.types(code_now(house, ada) + "\n")
        await asking.shows(r"(?s)Code from.+Code from.+Code from[^\n]+: $")
        house.clock.advance(30)
        asking.types(code_now(house, ada) + "\n")
        code, out = await asking.ended()
    assert code == 0
    assert out.decode().splitlines() == [f"{shown} 200", f"{first if shown == second else second} 200"]


async def test_what_nobody_waits_for_any_more_takes_no_line_from_the_next_question(
    house: House, ada: Browser, url: str
) -> None:
    async with terminal(*program(house, url, "one")) as asking:
        await asking.shows(r"(?s)Amount: 1\b.+Code from")
        asking.process.send_signal(signal.SIGUSR1)
        await asking.shows(r"(?s)Amount: 1000000\b.+Code from[^\n]+: $")
        asking.types(code_now(house, ada) + "\n")
        assert await asking.ended() == (0, b"1000000 200\n")
