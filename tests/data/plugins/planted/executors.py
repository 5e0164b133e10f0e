"""Small executors: a good one, and others that are each broken in one way."""

import threading

import tokzoo
from planted.offering import offered
from tokzoo.contracts.executors import ENDS


@offered("executor", "good-executor", tokzoo.ExecutorConfig)
class InTurn(tokzoo.Executor):
    """One job after the other, here; what happened is told after each."""

    threads = 1

    def run(self, jobs, work):
        for job in jobs:
            yield from ((job.cell, event) for event in self.heard(job, work))

    def heard(self, job, work):
        events = []
        work(job, events.append, threading.Event())
        if events[-1]["kind"] not in ENDS:
            events.append({"kind": "failed", "status": "failed", "stage": "start", "message": "died"})
        return events


@offered("executor", "no-threads", tokzoo.ExecutorConfig)
class NoThreads(InTurn):
    threads = 0


@offered("executor", "half-a-thread", tokzoo.ExecutorConfig)
class HalfAThread(InTurn):
    threads = 0.5


@offered("executor", "tells-of-nothing", tokzoo.ExecutorConfig)
class TellsOfNothing(InTurn):
    def run(self, jobs, work):
        yield "all", {"kind": "started"}
        yield from super().run(jobs, work)


@offered("executor", "last-words-alone", tokzoo.ExecutorConfig)
class LastWordsAlone(InTurn):
    def heard(self, job, work):
        return super().heard(job, work)[-1:]


@offered("executor", "gives-up", tokzoo.ExecutorConfig)
class GivesUp(InTurn):
    def run(self, jobs, work):
        for job in jobs:
            for event in self.heard(job, work):
                yield job.cell, event
                if event["kind"] == "failed":
                    return


@offered("executor", "all-is-well", tokzoo.ExecutorConfig)
class AllIsWell(InTurn):
    def heard(self, job, work):
        events = super().heard(job, work)
        return [*events[:-1], {"kind": "finished"}] if events[-1].get("message") == "died" else events


@offered("executor", "says-no-more", tokzoo.ExecutorConfig)
class SaysNoMore(InTurn):
    def heard(self, job, work):
        return [event for event in super().heard(job, work) if event.get("message") != "died"]
