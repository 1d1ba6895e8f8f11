"""What a search is asked to do."""

from dataclasses import dataclass, replace
from typing import Any

from gradcheck.errors import UserError
from lab.searching.space import Dimension, Point, settings_at
from lab.training.settings import Settings, training_plan
from networks import weight_std

SAMPLERS = ("random", "tpe", "gp", "cmaes", "qmc")

FINAL_SPLIT = "49000"


@dataclass(frozen=True)
class SearchPlan:
    """`coarse` points of `space`, then `fine` more near the best, each trained with `seeds` seeds; then the best once more.

    `base` are the settings of each training but for what is varied. `sampler`, one of SAMPLERS, draws the fine points;
    `layer_factors` multiply lambda layer by layer, if there are any; the last training has `final_cycles` cycles, none if 0.
    """

    base: Settings
    space: tuple[Dimension, ...]
    coarse: int = 8
    fine: int = 8
    seeds: int = 1
    sampler: str = "random"
    layer_factors: tuple[float, ...] = ()
    final_cycles: int = 3

    @property
    def stages(self) -> tuple[str, ...]:
        return ("coarse", "fine") if self.fine else ("coarse",)

    def settings_at(self, point: Point, seed: int = 0) -> Settings:
        """The settings of the training at `point` with the seed number `seed` of its seeds. Raises UserError."""
        settings = settings_at(self.base, point, self.layer_factors)
        return replace(settings, seed=settings.seed + seed)

    def final_settings_at(self, point: Point) -> Settings:
        """The settings of the last training: on more images, which are still to be resolved, and for other cycles."""
        settings = self.settings_at(point)
        return replace(settings, split=FINAL_SPLIT, cycles=self.final_cycles, images=None, fingerprint=None)

    def check(self) -> None:
        """Raises UserError where a training at either end of all ranges is not possible. `base` is resolved."""
        for ends in ([each.low for each in self.space], [each.high for each in self.space]):
            point = {each.name: each.rounded(end) for each, end in zip(self.space, ends, strict=True)}
            settings = self.settings_at(point)
            training_plan(settings)
            weight_std(settings.init, fan_in=1)
            if settings.lr_min > settings.lr_max:
                raise UserError(f"lr_min {settings.lr_min:g} is over lr_max {settings.lr_max:g}; give another --lr-min")

    def as_json(self) -> dict[str, Any]:
        """All that makes the result, by which a study is recognised: not where it is computed, nor where the data lie."""
        base = {name: value for name, value in self.base.trained.items() if name != "verify"}
        searched = {
            "coarse": self.coarse,
            "fine": self.fine,
            "seeds": self.seeds,
            "sampler": self.sampler,
            "per_layer": list(self.layer_factors),
            "final_cycles": self.final_cycles,
            "space": [str(each) for each in self.space],
        }
        return {"implementation": self.base.implementation} | base | searched
