#!/usr/bin/env python3
"""Times rahf beside what a Python user would run, in one go, and prints the ratios.

    make PRESET=release build
    python3 -m venv compare && compare/bin/pip install pillow torch==2.13.0 transformers diffusers
    compare/bin/python bench/compare.py [--threads 2] [--program build/release/bench/rahf_bench]

Both sides use the same number of threads, warm up once, and take turns; medians of the rounds.
"""

import argparse
import io
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time


def sd15_unet():
    from diffusers import UNet2DConditionModel
    return UNet2DConditionModel(sample_size=64, cross_attention_dim=768)


def tiny_unet():
    from diffusers import UNet2DConditionModel
    return UNet2DConditionModel(
        sample_size=16, in_channels=8, out_channels=8, block_out_channels=(64, 128),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), layers_per_block=1,
        cross_attention_dim=128, attention_head_dim=4)


def tiny_pipeline():
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline
    vae = AutoencoderKL(
        block_out_channels=(32, 64, 64), layers_per_block=1, latent_channels=8,
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3)
    pipeline = StableDiffusionPipeline(
        vae=vae.eval(), unet=tiny_unet().eval(), text_encoder=None, tokenizer=None,
        scheduler=DDIMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1,
            clip_sample=False, set_alpha_to_one=False),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def vae_decoder():
    from diffusers import AutoencoderKL
    model = AutoencoderKL(
        block_out_channels=(128, 256, 512, 512), layers_per_block=2,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4)
    model.forward = lambda latents: model.decode(latents).sample
    return model


def vq_decoder():
    from diffusers import VQModel
    model = VQModel(
        block_out_channels=(128, 256, 256, 512, 768), layers_per_block=2, latent_channels=64,
        num_vq_embeddings=8192, mid_block_add_attention=False, lookup_from_codebook=True,
        down_block_types=("DownEncoderBlock2D",) * 5, up_block_types=("UpDecoderBlock2D",) * 5)
    model.forward = lambda ids: model.decode(
        ids.flatten(), force_not_quantize=True, shape=(*ids.shape, 64)).sample
    return model


def amused_network():
    from diffusers import UVit2DModel
    model = UVit2DModel(sample_size=16)
    forward = model.forward
    model.forward = lambda ids, states, pooled: forward(ids, states, pooled, pooled.new_zeros(2, 5))
    return model


def tiny_muse():
    from diffusers import AmusedPipeline, AmusedScheduler, UVit2DModel
    network = UVit2DModel(
        hidden_size=128, num_hidden_layers=3, num_attention_heads=4, intermediate_size=256,
        in_channels=64, block_out_channels=128, num_res_blocks=2, block_num_heads=4,
        downsample=True, upsample=True, vocab_size=513, codebook_size=512, encoder_hidden_size=64,
        cond_embed_dim=64, micro_cond_encode_dim=16, micro_cond_embed_dim=80, sample_size=16)
    pipeline = AmusedPipeline(None, None, None, network, AmusedScheduler(mask_token_id=512))
    pipeline.vae_scale_factor = 4
    pipeline.set_progress_bar_config(disable=True)
    network.forward_tokens = lambda states, pooled: pipeline(
        prompt_embeds=pooled, encoder_hidden_states=states, negative_prompt_embeds=pooled,
        negative_encoder_hidden_states=states, num_inference_steps=12, guidance_scale=3.0,
        output_type="latent")
    return network


def references(folder, threads):
    """Name of a benchmark -> a call that does the same work once, and its pictures."""
    import torch
    from PIL import Image
    from transformers import ViTConfig, ViTModel

    torch.set_num_threads(threads)

    def decode(name):
        data = (folder / name).read_bytes()
        return lambda: Image.open(io.BytesIO(data)).convert("RGB")

    picture = decode("bench.png")()
    vit = ViTModel(ViTConfig(), add_pooling_layer=False).eval()
    pixels = torch.zeros(8, 3, 224, 224)

    def forward(bf16):
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            vit(pixels)

    def network(make, *inputs):
        """Calls of a network in f32 and bf16, built when it is first needed."""
        built = {}

        def call(dtype):
            if dtype not in built:
                built.clear()
                built[dtype] = make().eval().to(dtype)
            with torch.inference_mode():
                built[dtype](*(x.to(dtype) if x.is_floating_point() else x for x in inputs))

        return lambda: call(torch.float32), lambda: call(torch.bfloat16)

    tiny = network(tiny_unet, torch.zeros(16, 8, 16, 16), torch.full((16,), 500),
                   torch.zeros(16, 77, 128))
    sd15 = network(sd15_unet, torch.zeros(2, 4, 64, 64), torch.full((2,), 500),
                   torch.zeros(2, 77, 768))
    vae = network(vae_decoder, torch.zeros(1, 4, 32, 32))
    vq = network(vq_decoder, torch.zeros(1, 16, 16, dtype=torch.long))

    amused = network(amused_network, torch.zeros(2, 16, 16, dtype=torch.long),
                     torch.zeros(2, 77, 768), torch.zeros(2, 768))
    muse = tiny_muse().eval()
    made = []

    def tiny_ddim():
        if not made:
            made.append(tiny_pipeline())
        states = torch.zeros(16, 77, 128)
        made[0](prompt_embeds=states, negative_prompt_embeds=states, num_inference_steps=50,
                guidance_scale=2.0, output_type="pt")

    return {
        "tiny_ddim/16/real_time": (tiny_ddim, 16),
        "decode/png": (decode("bench.png"), 1),
        "decode/jpeg": (decode("bench.jpg"), 1),
        "resize/bilinear": (lambda: picture.resize((224, 224), Image.BILINEAR), 1),
        "resize/bicubic": (lambda: picture.resize((224, 224), Image.BICUBIC), 1),
        "vit_base/f32/8/real_time": (lambda: forward(False), 8),
        "vit_base/bf16/8/real_time": (lambda: forward(True), 8),
        "unet_tiny/f32/real_time": (tiny[0], 16),
        "unet_tiny/bf16/real_time": (tiny[1], 16),
        "unet_sd15/f32/real_time": (sd15[0], 2),
        "unet_sd15/bf16/real_time": (sd15[1], 2),
        "vae_decode/f32/real_time": (vae[0], 1),
        "vae_decode/bf16/real_time": (vae[1], 1),
        "vq_decode/f32/real_time": (vq[0], 1),
        "vq_decode/bf16/real_time": (vq[1], 1),
        "uvit2d_amused256/f32/real_time": (amused[0], 2),
        "uvit2d_amused256/bf16/real_time": (amused[1], 2),
        "muse_tiny/real_time": (
            lambda: muse.forward_tokens(torch.zeros(16, 16, 64), torch.zeros(16, 64)), 16),
    }


def ours(program, folder, name, threads):
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads))
    output = subprocess.run(
        [program, "--benchmark_format=json", "--benchmark_min_time=0.5", f"--benchmark_filter=^{name}$"],
        cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout
    return json.loads(output)["benchmarks"][0]["images/s"]


def theirs(call, pictures):
    call()
    count, start = 0, time.perf_counter()
    while time.perf_counter() < start + 0.5:
        call()
        count += 1
    return count * pictures / (time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", default="build/release/bench/rahf_bench")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="names that begin so")
    arguments = parser.parse_args()
    program = str(pathlib.Path(arguments.program).resolve())

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name in ("decode/png", "decode/jpeg"):  # leave the pictures that are decoded
            ours(program, folder, name, arguments.threads)
        print(f"{'benchmark':32}{'rahf images/s':>16}{'reference':>12}{'ratio':>8}")
        for name, (call, pictures) in references(folder, arguments.threads).items():
            if not name.startswith(arguments.only):
                continue
            rounds = [(ours(program, folder, name, arguments.threads), theirs(call, pictures))
                      for _ in range(arguments.rounds)]
            mine, other = (statistics.median(side) for side in zip(*rounds))
            print(f"{name:32}{mine:16.1f}{other:12.1f}{mine / other:8.2f}")


if __name__ == "__main__":
    main()
