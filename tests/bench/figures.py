"""Worker side. The arithmetic: from samples to medians and ratios, and which rounds were too noisy to count."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

# A core on which others used more than this part of the time gives CPU figures that are not ours alone.
MAX_FOREIGN = 0.06
GATEWAY, DIRECT = "gateway", "direct"


@dataclass(frozen=True, slots=True)
class Sample:
    """One load against one subject. CPU in seconds: own is what the subject's processes used, web and ingester its parts.

    stores: the database server and Redis, which are not part of own. foreign: see cpu.foreign_share, of the worse core.
    """

    done: int
    per_s: float
    wall_s: float
    web_s: float
    ingester_s: float
    stores_s: float
    foreign: float
    p50_ms: float
    p99_ms: float

    @property
    def own_s(self) -> float:
        """What counts as the subject's CPU."""
        return self.web_s + self.ingester_s


Round = Mapping[str, Sample]  # subject -> its sample, taken one right after the other


@dataclass(frozen=True, slots=True)
class Kept:
    """The rounds that count, and how many were thrown away; is_noisy: too few quiet ones, so noisy ones count too."""

    rounds: tuple[Round, ...]
    dropped: int
    is_noisy: bool

    @property
    def worst_foreign(self) -> float:
        """The foreign share of the noisiest round that counts."""
        return max(noise_of(each) for each in self.rounds)


def noise_of(each: Round) -> float:
    """A round is as noisy as its noisiest sample."""
    return max(sample.foreign for sample in each.values())


def keep_quiet(rounds: Sequence[Round], wanted: int) -> Kept:
    """The quiet ones of the rounds, or, where they are fewer than wanted, the wanted number of least noisy ones."""
    ordered = sorted(rounds, key=noise_of)[:wanted]
    return Kept(tuple(ordered), len(rounds) - len(ordered), any(noise_of(each) > MAX_FOREIGN for each in ordered))


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which this part of the values lies; 0 for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


def figures_of(kept: Kept, units_per_answer: float) -> dict[str, Any]:
    """Medians for each subject, and what the gateway costs as a multiple of each proxy.

    CPU in ms per unit, where an answer has units_per_answer of them. The multiple is the median of the rounds' own
    multiples: a machine that gets slower between two rounds changes both sides of each.
    """
    found: dict[str, Any] = {}
    for name in kept.rounds[0]:
        samples = [each[name] for each in kept.rounds]
        found[name] = {
            "cpu_ms": _per_unit([s.own_s for s in samples], samples, units_per_answer),
            "web_ms": _per_unit([s.web_s for s in samples], samples, units_per_answer),
            "ingester_ms": _per_unit([s.ingester_s for s in samples], samples, units_per_answer),
            "stores_ms": _per_unit([s.stores_s for s in samples], samples, units_per_answer),
            "per_s": median(s.per_s for s in samples),
            "core_share": median(s.own_s / s.wall_s for s in samples),
            "p50_ms": median(s.p50_ms for s in samples),
            "p99_ms": median(s.p99_ms for s in samples),
        }
    proxies = [name for name in kept.rounds[0] if name not in (GATEWAY, DIRECT)]
    ratios = {name: median(_cost(each[GATEWAY]) / _cost(each[name]) for each in kept.rounds) for name in proxies}
    noise = {"worst_foreign": kept.worst_foreign, "dropped": kept.dropped, "is_noisy": kept.is_noisy}
    return {"subjects": found, "ratios": ratios, "rounds": len(kept.rounds), "noise": noise}


def overheads(latency: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """What each subject adds to the mock's own latency at one connection: subject -> p50_ms and p99_ms."""
    subjects = latency["subjects"]
    return {
        name: {part: figures[part] - subjects[DIRECT][part] for part in ("p50_ms", "p99_ms")}
        for name, figures in subjects.items()
        if name != DIRECT
    }


def change(now: float, before: float) -> float | None:
    """By what part now differs from before; None where there is nothing to compare."""
    return (now - before) / before if before > 0 else None


def _per_unit(seconds: Sequence[float], samples: Sequence[Sample], units: float) -> float:
    return median(s * 1000 / (sample.done * units) for s, sample in zip(seconds, samples, strict=True))


def _cost(sample: Sample) -> float:
    return sample.own_s / sample.done
