"""The measures of tables of clips, in the order of their columns: a line for each. Imports neither torch nor numpy.

A measure that is a mean over clips says `mean`, and names `per_clip`, a function of wanted and found waveforms [b, n] that
gives a number per clip, unless the reconstruction table counts it anyway. Any other names `estimate`, a function of a row's
sums and of those of the reference. One that cannot be made of the rows that inference writes says `sound`. One that is of
clips or of pictures alone says so.
"""

from __future__ import annotations

from dataclasses import dataclass

CLIP, PICTURE = "clip", "picture"
_E, _R = "invertone.eval.measures.estimated", "invertone.eval.measures.recognised"


@dataclass(frozen=True)
class Measure:
    """title and format: of its column; better: ↑ or ↓; note: how it is to be read; caution: what is said after all notes.
    sound: whether rows of inference do not hold what it is made of. signal: the kind of signals it is of, empty for both;
    picture_note, picture_title: note and title where it is of pictures, if those are others. Functions are `module:name`."""

    name: str
    title: str
    format: str = ""
    better: str = ""
    note: str = ""
    caution: str = ""
    mean: bool = False
    per_clip: str = ""
    estimate: str = ""
    sound: bool = False
    signal: str = ""
    picture_note: str | None = None
    picture_title: str = ""

    def of(self, signal: str) -> bool:
        """Whether there is such a measure of signals of this kind."""
        return self.signal in ("", signal)

    def title_of(self, signal: str) -> str:
        """Its column's title in a table of signals of this kind."""
        return self.title if signal == CLIP else self.picture_title or self.title

    def note_of(self, signal: str) -> str:
        """How it is to be read of signals of this kind."""
        return self.note if signal == CLIP or self.picture_note is None else self.picture_note

    @property
    def needs_sound(self) -> bool:
        """Whether the clips have to be heard again: inference's rows do not hold what it is made of."""
        return self.sound or bool(self.per_clip)


MEASURES = [
    Measure("trainings", "Trainings", ","),
    Measure("clips", "Clips", ",", picture_title="Pictures"),
    Measure("failed", "Failed", ","),
    Measure(
        "accuracy",
        "Accuracy",
        ".1%",
        "↑",
        note="Accuracy: share of clips which the classifier hears as their label: of generated clips the one that was asked "
        "for, of inversions of clips without a label what it heard in the clip itself.",
        picture_note="Accuracy: share of pictures that the recogniser takes for who they are of, among all identities it was "
        "taught.",
        estimate=f"{_E}:accuracy",
    ),
    Measure(
        "inception_score",
        "IS",
        ".2f",
        "↑",
        note="IS: inception score on the classifier's posteriors, mean over groups, as WaveGAN (Donahue et al. "
        "2018); ± is the standard deviation over groups (ddof 0). It grows with clips per group and depends "
        "on the classifier: compare rows of one table, not with figures of another classifier.",
        estimate=f"{_E}:inception",
        signal=CLIP,
    ),
    Measure("inception_spread", "IS ± (groups)", ".2f", estimate=f"{_E}:inception_spread", signal=CLIP),
    Measure(
        "frechet_logits",
        "FD logits",
        ".3f",
        "↓",
        note="FD: Fréchet distance to the reference clips on the classifier's logits (as TiFGAN) and penultimate "
        "activations; biased upwards for few clips, so compare rows of equally many.",
        estimate=f"{_E}:frechet_logits",
        signal=CLIP,
    ),
    Measure(
        "frechet_penultimate",
        "FD penultimate",
        ".3f",
        "↓",
        picture_title="FD embeddings",
        picture_note="FD: Fréchet distance to the reference pictures on the recogniser's embeddings, which have length 1; "
        "biased upwards for few pictures, so compare rows of equally many. A published FID is of another network's features: "
        "another scale.",
        estimate=f"{_E}:frechet_penultimate",
        sound=True,
    ),
    Measure(
        "feature_distance",
        "Feature distance",
        ".4f",
        "↓",
        note="Feature distance: mean squared difference of the classifier's block activations. Cosine distance: of"
        " its penultimate activations.",
        picture_note="Feature distance: mean squared difference of the recogniser's concatenations, mean over its blocks. "
        "Cosine distance: 1 minus the cosine of the angle between its embeddings, from 0 for the same face to 2.",
        mean=True,
    ),
    Measure("cosine_distance", "Cosine distance", ".4f", "↓", mean=True),
    Measure(
        "ssim",
        "SSIM",
        ".4f",
        "↑",
        note="SSIM, MAE and MSE of spectrograms are of log magnitudes (512/128, 87 dB below full scale, scaled to "
        "[-1, 1]).",
        picture_note="SSIM: of each colour, in windows of 11 × 11 pixels, mean over colours.",
        mean=True,
    ),
    Measure(
        "pixel_mae",
        "Pixel MAE",
        ".4f",
        "↓",
        note="Pixel MAE and MSE: of all pixels and colours, from -1 (black) to 1 (white).",
        mean=True,
        signal=PICTURE,
    ),
    Measure(
        "pixel_mse",
        "Pixel MSE",
        ".4f",
        "↓",
        caution="Measures of pixels reward blur: read them against the row *mean face*.",
        mean=True,
        signal=PICTURE,
    ),
    Measure(
        "picture_psnr",
        "PSNR dB",
        ".2f",
        "↑",
        note="PSNR: 20 log10(MAX / √MSE) of each picture, MAX 255 of 8-bit pixels, then the mean over pictures.",
        estimate=f"{_E}:picture_psnr",
        signal=PICTURE,
    ),
    Measure(
        "one_plus_cosine",
        "1 + cosine",
        ".3f",
        "↑",
        note="1 + cosine: 2 minus the cosine distance, 2 for the same face.",
        estimate=f"{_E}:one_plus_cosine",
        signal=PICTURE,
    ),
    *(
        Measure(
            f"rank_{rank}",
            f"Rank {rank}",
            ".1%",
            "↑",
            note="Rank k: share of reconstructions among whose k most similar identities of the gallery is the person's own "
            "(cumulative match characteristic); similar by the cosine of the recogniser's embeddings. Reconstructions that "
            "there are none of count as not found."
            if rank == 1
            else "",
            estimate=f"{_R}:rank_{rank}",
            signal=PICTURE,
        )
        for rank in (1, 5, 10, 20, 50, 100)
    ),
    Measure("spectrogram_mae", "Spectrogram MAE", ".4f", "↓", mean=True, signal=CLIP),
    Measure("spectrogram_mse", "Spectrogram MSE", ".4f", "↓", mean=True, signal=CLIP),
    Measure(
        "waveform_mse",
        "Waveform MSE",
        ".3g",
        "↓",
        caution="Waveform measures reward silence: read them against the row *silence*.",
        mean=True,
        signal=CLIP,
    ),
    Measure("waveform_mae", "Waveform MAE", ".3g", "↓", mean=True, signal=CLIP),
    Measure(
        "psnr",
        "PSNR dB",
        ".1f",
        "↑",
        note="PSNR: of waveforms of full scale ±1 (peak to peak 2), from the mean squared error of all clips.",
        estimate=f"{_E}:psnr",
        signal=CLIP,
    ),
    Measure(
        "explained_variance",
        "Explained variance",
        ".3f",
        "↑",
        note="Explained variance is of waveforms, pooled over clips: 1 - sum of residual variances / sum of clip "
        "variances. Recovered phases are never a clip's own: of GAAE's family read the spectrogram's measures.",
        picture_note="Explained variance is of all pixels and colours, pooled over pictures: 1 - sum of residual variances / "
        "sum of picture variances.",
        estimate=f"{_E}:explained_variance",
    ),
    Measure(
        "recovered",
        "Recovered",
        ".1%",
        "↑",
        note="Recovered: share of clips whose own explained variance is at least 0.99.",
        picture_note="Recovered: share of pictures whose own explained variance is at least 0.99.",
        mean=True,
    ),
    Measure(
        "latent_error",
        "Latent error",
        ".4f",
        "↓",
        note="Latent error: root mean square difference, over clips and coordinates, of the latent that made the "
        "clip and the recovered one; of clips that the inverted generator made (`invertone generate`).",
        picture_note="Latent error: root mean square difference, over pictures and coordinates, of the latent that made the "
        "picture and the recovered one; of pictures that the inverted generator made (`invertone generate`).",
        estimate=f"{_E}:latent_error",
    ),
    Measure(
        "evaluations",
        "Evaluations",
        ",.1f",
        "↓",
        note="Evaluations: of the inverter's objective, mean per clip.",
        picture_note="Evaluations: of the inverter's objective, mean per picture.",
        estimate=f"{_E}:evaluations",
    ),
    Measure(
        "seconds",
        "Seconds",
        ".3f",
        "↓",
        note="Seconds: of compute per clip, of the whole inference run.",
        picture_note="Seconds: of compute per picture, of the whole inference run.",
    ),
]
