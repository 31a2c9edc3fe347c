"""An answer that streams

A step can give out values while it runs: how far it is, or the words of an answer, one by one. Whoever reads the
stream has each at once, long before the step has a result. Kill the worker in the middle of the answer: the next
attempt begins it anew, the half one is dropped, and no reader is left with a word twice. The model is played by a
canned answer here.

order: 15
group: "In the real world"
params: {"question": "Why does a durable workflow survive a crash?"}
tasks: [{"do": "kill-worker", "during": "write answer", "read": 1,
         "say": "Press Kill worker while `write answer` writes.",
         "seen": "The half answer was dropped and begun anew: nobody reads a word of it twice."}]
"""

import asyncio

from workers import WorkflowEntrypoint

ANSWER = """
Because nothing that was finished is kept in memory alone. Each step writes its result into a
journal before the code goes on, and when a worker dies, another one runs the same code from the
top: it reads the results that are there, and continues with the first step that has none.
"""
PAGES = 5


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        question = event["payload"]["question"]

        @step.do("read sources")
        async def read_sources():
            print(f"looking for sources: {question}")
            for page in range(1, PAGES + 1):
                await asyncio.sleep(0.4)
                await self.env.STREAMS.progress(100 * page / PAGES, f"{page} of {PAGES} pages")
            return PAGES

        @step.do("write answer")
        async def write_answer():
            words = ANSWER.split()
            for word in words:
                await self.env.STREAMS.append("answer", f"{word} ")
                await asyncio.sleep(0.1)
            return " ".join(words)

        pages = await read_sources()
        return {"answer": await write_answer(), "pages": pages}
