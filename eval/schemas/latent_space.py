"""Keys of the table of a latent space."""

from __future__ import annotations

from dataclasses import dataclass

from invertone.cluster.config.schema import REQUIRED, key
from invertone.eval.schemas.shared import COLOURS, SampleConfig

AUTO, CIRCLE, LINEAR = PATHS = ("auto", "great-circle", "linear")
MIXED, FIRST = LABELS_BETWEEN = ("mixed", "first")


@dataclass(frozen=True)
class LatentSpaceConfig(SampleConfig):
    """What lies near what: t-SNE, nearest neighbours, and sounds between two latents."""

    latents: list[str] = key(REQUIRED, "run folder of an infer, or several: [runs/a, runs/b]", path=True, neutral=True)
    shards: list[str] = key([], "the clips of each run, in order; empty means those recorded", path=True, neutral=True)
    clips: int = key(2_000, "at most so many clips, of all runs together", minimum=2, maximum=10_000)
    column: str = key("latent", "which latents: latent, guided_latent")
    generator: str | None = key(
        None, "for sounds between latents; none means the one that was inverted", checkpoint="generator", neutral=True
    )
    neighbours: int = key(10, "nearest clips by cosine whose labels are compared", minimum=1, maximum=1_000)
    components: int = key(
        50,
        "principal components of the latents that t-SNE is given; 0: the latents as they are",
        minimum=0,
        maximum=10_000,
    )
    colours: list[str] = key(
        [], "what maps are coloured by; empty means all that is known and not the same for every clip", choices=COLOURS
    )
    perplexity: float = key(30.0, "of t-SNE; made smaller for few clips", minimum=1.0)
    examples: int = key(
        4,
        "clips whose neighbours and whose styles are heard, and pairs of one and of two labels between which sounds are made; "
        "0 for none",
        minimum=0,
        maximum=50,
    )
    attributes: list[str] = key(
        [],
        "attributes that the shards say of their pictures (Smiling, Eyeglasses): figures of latents to which one is added, and "
        "from which it is taken away",
    )
    steps: int = key(7, "sounds from one latent to another", minimum=2, maximum=50)
    path: str = key(
        AUTO,
        "from one latent to another: linear, along the great circle, or (auto) along the circle where the prior is normal",
        choices=PATHS,
    )
    labels_between: str = key(
        MIXED,
        "generators that take labels: from the first clip's to the last one's in the same steps (mixed), or the first one's "
        "all along",
        choices=LABELS_BETWEEN,
    )
