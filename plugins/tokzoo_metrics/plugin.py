"""What this plugin registers."""

import tokzoo


@tokzoo.hookimpl
def tokzoo_components() -> list[tokzoo.ComponentSpec]:
    """The metrics."""
    return [
        tokzoo.ComponentSpec(
            kind="metric",
            name="psnr",
            config="tokzoo_metrics.configs:PSNRConfig",
            target="tokzoo_metrics.psnr:PSNR",
            summary="peak signal-to-noise ratio of 8-bit reconstructions, in dB",
        ),
        tokzoo.ComponentSpec(
            kind="metric",
            name="prefix-psnr",
            config="tokzoo_metrics.configs:PrefixPSNRConfig",
            target="tokzoo_metrics.prefix_psnr:PrefixPSNR",
            summary="PSNR of reconstructions from the first 1, 2, 4 … tokens, where tokens are ordered",
        ),
        tokzoo.ComponentSpec(
            kind="metric",
            name="ssim",
            config="tokzoo_metrics.configs:SSIMConfig",
            target="tokzoo_metrics.ssim:SSIM",
            summary="structural similarity of 8-bit reconstructions, with the 11×11 Gaussian window",
            paper="Wang et al. 2004, section III.B",
        ),
        tokzoo.ComponentSpec(
            kind="metric",
            name="codebook",
            config="tokzoo_metrics.configs:CodebookConfig",
            target="tokzoo_metrics.codebook:Codebook",
            summary="how much of the codebook is used, and how evenly (usage and perplexity)",
        ),
        tokzoo.ComponentSpec(
            kind="metric",
            name="ar-loss",
            config="tokzoo_metrics.configs:ARLossConfig",
            target="tokzoo_metrics.ar_loss:HeldOutLoss",
            summary="held-out loss of the AR model in nats per token and bits per image",
        ),
        tokzoo.ComponentSpec(
            kind="metric",
            name="cost",
            config="tokzoo_metrics.configs:CostConfig",
            target="tokzoo_metrics.cost:Cost",
            summary="parameters of the tokenizer, its encoder and decoder, and the AR model",
        ),
        tokzoo.ComponentSpec(
            kind="metric",
            name="throughput",
            config="tokzoo_metrics.configs:ThroughputConfig",
            target="tokzoo_metrics.throughput:Throughput",
            summary="images encoded and decoded per second on this machine",
        ),
        tokzoo.ComponentSpec(
            kind="metric",
            name="fd-fashion",
            config="tokzoo_metrics.configs:ReconstructionFashionDistanceConfig",
            target="tokzoo_metrics.fashion_distance:ReconstructionDistance",
            summary="Fréchet distance of reconstructions to test images, in the features of the judge of Fashion-MNIST",
            paper="arXiv 1706.08500, equation 6",
            weights_license="MIT",
        ),
        tokzoo.ComponentSpec(
            kind="metric",
            name="sample-fd-fashion",
            config="tokzoo_metrics.configs:SampleFashionDistanceConfig",
            target="tokzoo_metrics.fashion_distance:SampleDistance",
            summary="Fréchet distance of samples to test images, in the features of the judge of Fashion-MNIST",
            paper="arXiv 1706.08500, equation 6",
            weights_license="MIT",
        ),
        tokzoo.ComponentSpec(
            kind="metric",
            name="sample-accuracy",
            config="tokzoo_metrics.configs:SampleAccuracyConfig",
            target="tokzoo_metrics.sample_accuracy:SampleAccuracy",
            summary="share of samples that the judge of Fashion-MNIST takes for the class asked for",
            weights_license="MIT",
        ),
        tokzoo.ComponentSpec(
            kind="metric",
            name="ar-probe",
            config="tokzoo_metrics.configs:ARProbeConfig",
            target="tokzoo_metrics.ar_probe:ARProbe",
            summary="linear probe and nearest neighbours of the AR model's hidden states, which are told no class",
            paper="arXiv 2504.08736, section 3.1",
        ),
    ]
