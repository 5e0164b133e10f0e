"""Configs of the metrics: what they report, and the protocols under which numbers are comparable. No torch here."""

from typing import Any, ClassVar

from pydantic import Field

import tokzoo
from tokzoo import MetricInfo
from tokzoo_metrics.fashion_judge.facts import REFERENCE, WEIGHTS, facts

ROUNDING = "clamped, to uint8, half to even"
PSNR_CAP = 100.0
"""In dB: what identical images get, and the most any image gets. Otherwise one of them makes the mean infinite."""

PREFIXES = tuple(2**power for power in range(11))
"""In code positions: 1 to 1024."""

SSIM_WINDOW = 11
SSIM_SIGMA = 1.5
SSIM_K1 = 0.01
SSIM_K2 = 0.03

PROBE_EPS = 1e-6
PROBE_PENALTY = 1e-3
PROBE_ITERATIONS = 300
KNN_NEIGHBOURS = 20
KNN_TEMPERATURE = 0.07


class PSNRConfig(tokzoo.MetricConfig):
    """Peak signal-to-noise ratio."""

    stage: ClassVar = "reconstruction"
    reports: ClassVar = (MetricInfo("reconstruction.psnr", "PSNR", unit="dB", better="higher", digits=2),)

    def protocol(self) -> dict[str, Any]:
        """Rounding, range, averaging and cap."""
        return {"rounding": ROUNDING, "data_range": 255, "averaging": "per image", "cap_db": PSNR_CAP}


class PrefixPSNRConfig(PSNRConfig):
    """PSNR of reconstructions from the first tokens alone, where tokens are ordered."""

    requires: ClassVar = frozenset({"prefix_decoding"})
    reports: ClassVar = tuple(
        MetricInfo(f"reconstruction.psnr_at_{count}", f"PSNR@{count}", unit="dB", better="higher", digits=2)
        for count in PREFIXES
    )

    def protocol(self) -> dict[str, Any]:
        """That of PSNR, and what a prefix is."""
        return {**super().protocol(), "prefix": "the longest that can be decoded of at most so many code positions"}


class SSIMConfig(tokzoo.MetricConfig):
    """Structural similarity (Wang et al. 2004)."""

    stage: ClassVar = "reconstruction"
    reports: ClassVar = (MetricInfo("reconstruction.ssim", "SSIM", better="higher", digits=4),)

    def protocol(self) -> dict[str, Any]:
        """Rounding, range, window, constants, border and averaging."""
        return {
            "rounding": ROUNDING,
            "data_range": 1.0,
            "window": "gaussian",
            "window_size": SSIM_WINDOW,
            "sigma": SSIM_SIGMA,
            "k1": SSIM_K1,
            "k2": SSIM_K2,
            "variance": "weighted by the window, biased",
            "border": "valid",
            "downsampling": "none",
            "channels": "each, then averaged",
            "averaging": "per image",
        }


class CodebookConfig(tokzoo.MetricConfig):
    """Usage and perplexity of the codebook. Neither is ranked: more is not better by itself."""

    stage: ClassVar = "reconstruction"
    reports: ClassVar = (
        MetricInfo("codes.usage", "usage"),
        MetricInfo("codes.perplexity", "perplexity", digits=1),
    )

    def protocol(self) -> dict[str, Any]:
        """What is counted, and how levels are combined."""
        return {
            "usage": "codes that occur / size of the codebook",
            "perplexity": "exp of the entropy of the code marginal",
            "levels": "averaged",
        }


class ARLossConfig(tokzoo.MetricConfig):
    """Held-out loss of an AR model. Bounds and estimates have ids of their own, which are never ranked."""

    stage: ClassVar = "likelihood"
    reports: ClassVar = (
        MetricInfo("ar.nats_per_token", "AR loss", unit="nats/token", better="lower"),
        MetricInfo("ar.bits_per_image", "AR loss", unit="bits/image", better="lower", digits=1),
        MetricInfo("ar.nats_per_token_bound", "AR loss (bound)", unit="nats/token"),
        MetricInfo("ar.bits_per_image_bound", "AR loss (bound)", unit="bits/image", digits=1),
    )

    def protocol(self) -> dict[str, Any]:
        """Averaging and the conversion between the two."""
        return {"averaging": "per image", "bits_per_image": "nats per token × tokens / ln 2"}


class CostConfig(tokzoo.MetricConfig):
    """Numbers of parameters."""

    stage: ClassVar = "efficiency"
    reports: ClassVar = (
        MetricInfo("cost.params", "params", digits=0),
        MetricInfo("cost.params_encoder", "encoder params", digits=0),
        MetricInfo("cost.params_decoder", "decoder params", digits=0),
        MetricInfo("cost.params_ar", "AR params", digits=0),
    )

    def protocol(self) -> dict[str, Any]:
        """What is counted."""
        return {"counted": "parameters, trained or frozen, each once; no buffers"}


class ThroughputConfig(tokzoo.MetricConfig):
    """Speed of encoding and decoding on the machine at hand."""

    stage: ClassVar = "efficiency"
    reports: ClassVar = (
        MetricInfo("cost.encode_images_per_s", "encode", unit="image/s", observed=True, digits=1),
        MetricInfo("cost.decode_images_per_s", "decode", unit="image/s", observed=True, digits=1),
    )

    batch: int = Field(64, ge=1, description="images in a batch")
    repeats: int = Field(5, ge=1, description="timed batches; the median is reported")
    warmup: int = Field(2, ge=0, description="batches before the timed ones")

    def protocol(self) -> dict[str, Any]:
        """Batch, repeats and what is timed."""
        return {
            "batch": self.batch,
            "repeats": self.repeats,
            "warmup": self.warmup,
            "statistic": "median",
            "timed": "images to codes and codes to images, or to and from the latent if it is continuous",
        }


class FashionJudgedConfig(tokzoo.MetricConfig):
    """What all metrics by the judge of Fashion-MNIST have in common."""

    datasets: ClassVar = frozenset({"fashion"})

    def protocol(self) -> dict[str, Any]:
        """The judge and what it is shown."""
        return {
            "judge": "fashion judge",
            "judge_sha256": facts()["sha256"][WEIGHTS.name],
            "rounding": ROUNDING,
            "resize": "none",
        }


class FashionDistanceConfig(FashionJudgedConfig):
    """A Fréchet distance in the judge's features: of one scale for reconstructions and samples, for one reference."""

    def protocol(self) -> dict[str, Any]:
        """The judge, the reference, the distance, and the floor: what real training images get."""
        return {
            **super().protocol(),
            "features": "mean of the last feature map",
            "reference": f"{facts()['reference_images']} embedded test images of Fashion-MNIST",
            "reference_sha256": facts()["sha256"][REFERENCE.name],
            "distance": "Fréchet, of means and unbiased covariances in float64, by torch-fidelity",
            "floor": f"{facts()['floor']:.4f} for as many embedded training images",
        }


class ReconstructionFashionDistanceConfig(FashionDistanceConfig):
    """The Fréchet distance of reconstructions."""

    stage: ClassVar = "reconstruction"
    reports: ClassVar = (MetricInfo("reconstruction.fd_fashion", "fd_fashion", better="lower"),)


class SampleFashionDistanceConfig(FashionDistanceConfig):
    """The Fréchet distance of samples."""

    stage: ClassVar = "generation"
    reports: ClassVar = (MetricInfo("generation.fd_fashion", "sample fd_fashion", better="lower"),)


class SampleAccuracyConfig(FashionJudgedConfig):
    """How often samples are what was asked for, as the judge sees it."""

    stage: ClassVar = "generation"
    reports: ClassVar = (MetricInfo("generation.class_accuracy", "class accuracy", better="higher"),)

    def protocol(self) -> dict[str, Any]:
        """The judge, and how often it knows the class of a real test image."""
        return {**super().protocol(), "of_real_images": facts()["accuracy"]["val"]}


class ARProbeConfig(tokzoo.MetricConfig):
    """What the hidden states of an AR model tell about the class, which it is not told (GigaTok, section 3.1)."""

    stage: ClassVar = "representation"
    reports: ClassVar = (
        MetricInfo("probe.ar_linear", "AR linear probe", better="higher"),
        MetricInfo("probe.ar_knn", "AR kNN", better="higher"),
    )

    layer: int | None = Field(None, ge=1, description="the block whose output is read, from 1; null: the middle one")

    def protocol(self) -> dict[str, Any]:
        """The features, and both judges of them."""
        return {
            "layer": "depth // 2" if self.layer is None else self.layer,
            "label": "null class",
            "pooling": "mean over positions",
            "augmentation": "none",
            "standardized": f"by the training set, eps {PROBE_EPS:g}",
            "linear": "cross-entropy, full batch, L-BFGS",
            "linear_penalty": PROBE_PENALTY,
            "linear_iterations": PROBE_ITERATIONS,
            "knn_neighbours": KNN_NEIGHBOURS,
            "knn_similarity": "cosine",
            "knn_vote": f"exp(similarity / {KNN_TEMPERATURE:g})",
        }
