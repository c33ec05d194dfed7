"""Everything at once, on two servers, while the store comes and goes."""

import asyncio
import random
from contextlib import suppress

import pytest
from fathom.core.errors import EngineUnavailable, NotFound, ServiceError, StoreUnavailable
from fathom.core.tenant import EVERYONE

from tests.failing_store import failing_store
from tests.unit.serving.responses.waiting import begun, soon
from tests.unit.serving.responses.words import draft, told

ENDS = {"completed", "failed", "cancelled"}


class Life:
    """Of one response, as chance has it. gone: it was deleted, or never there."""

    def __init__(self, servers, speaker, chance):
        self.servers, self.speaker, self.chance = servers, speaker, chance
        self.draft = draft(queued=chance.random() < 0.6)
        self.id, self.gone, self.told = self.draft.id, False, None

    async def live(self):
        try:
            await (self.wait() if self.draft.transcript.status == "queued" else self.run())
        except NotFound:
            pass
        except StoreUnavailable:
            self.gone = self.gone or self.told is None

    async def run(self):
        run = await begun(self.server, self.draft)
        self.told = "begun"
        talk = asyncio.create_task(self.talk())
        async for frame in run.frames():
            self.told = frame.kind
            if self.chance.random() < 0.03:
                break
        await talk

    async def wait(self):
        await self.server.enqueue(self.draft)
        self.told = "queued"
        await asyncio.gather(self.talk(), self.interfere(), self.follow(), self.follow())

    async def follow(self):
        with suppress(NotFound, StoreUnavailable):
            kinds = [frame.kind async for frame in self.server.follow(EVERYONE, self.id, -1)]
            assert [kind for kind in kinds if kind in ENDS] == kinds[-1:]

    async def talk(self):
        for word in range(self.chance.randrange(8)):
            self.speaker.say(self.id, str(word))
            await asyncio.sleep(self.chance.random() / 50)
        if self.chance.random() < 0.2:
            self.speaker.fail(self.id, EngineUnavailable("The engine restarts."))
        self.speaker.end(self.id)

    async def interfere(self):
        await asyncio.sleep(self.chance.random() / 5)
        with suppress(ServiceError):
            match self.chance.randrange(4):
                case 0:
                    await self.server.cancel(EVERYONE, self.id)
                case 1:
                    await self.server.delete(EVERYONE, self.id)
                    self.gone = True

    @property
    def server(self):
        return self.chance.choice(self.servers)


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_happens_every_response_ends_once_as_it_was_told(serve, speaker, database, seed):
    chance = random.Random(seed)
    async with serve("one", background_slots=4) as one, serve("two", background_slots=4) as two:
        lives = [Life([one, two], speaker, chance) for _ in range(60)]
        living = [asyncio.create_task(life.live()) for life in lives]
        for _ in range(15):
            await asyncio.sleep(chance.random() / 20)
            with failing_store(chance.randrange(1, 12), lasting=chance.random() < 0.5):
                await asyncio.sleep(chance.random() / 20)
        await asyncio.gather(*living)
        for life in lives:
            if life.gone:
                continue
            await soon(lambda life=life: has_ended(one, life.id), f"{life.id} ends")
            status = (await two.get(EVERYONE, life.id))["status"]
            assert life.told not in ENDS or status == life.told
            frames = [frame async for frame in one.follow(EVERYONE, life.id, -1)]
            assert frames[-1].kind == status
            assert sum(frame.kind in ENDS for frame in frames) == 1
            assert [frame.number for frame in frames] == sorted({frame.number for frame in frames})
            if status == "completed":
                said = [word for word in told(frames) if word.isdigit()]
                assert said == [str(word) for word in range(len(said))]
        await soon(lambda: not speaker.running, "the engine is left alone")


async def has_ended(responses, id):
    with suppress(StoreUnavailable):
        return (await responses.get(EVERYONE, id))["status"] in ENDS
