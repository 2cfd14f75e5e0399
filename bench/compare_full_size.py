#!/usr/bin/env python3
"""Compares models of published sizes, with random weights, with the reference implementation: the
largest difference per output over the largest output.

    make PRESET=release build
    python3 -m venv compare && compare/bin/pip install torch==2.13.0 diffusers transformers
    compare/bin/python bench/compare_full_size.py [--only sd15-unet] [--program build/rahf]

Needs about 8 GiB of memory and 4 GiB on disk at a time, and minutes.
"""

import argparse
import gc
import json
import pathlib
import subprocess
import tempfile

import torch

SD_BLOCKS = {"down_block_types": ["DownEncoderBlock2D"] * 4,
             "up_block_types": ["UpDecoderBlock2D"] * 4,
             "block_out_channels": [128, 256, 512, 512], "layers_per_block": 2}


def unet(side, **config):
    from diffusers import UNet2DConditionModel
    model = UNet2DConditionModel(sample_size=side, **config).eval()
    sample = torch.randn(1, 4, side, side)
    states = torch.randn(1, 77, config["cross_attention_dim"])
    timestep = torch.tensor([501])
    return "unet", model, {
        "input.sample": sample, "input.timestep": timestep, "input.encoder_hidden_states": states,
        "output.sample": model(sample, timestep, states).sample}


def vae(side, **config):
    from diffusers import AutoencoderKL
    model = AutoencoderKL(**SD_BLOCKS, **config).eval()
    sample = torch.rand(1, 3, side, side) * 2 - 1
    latents = torch.randn(1, config["latent_channels"], side // 8, side // 8)
    posterior = model.encode(sample).latent_dist
    return "vae", model, {
        "input.sample": sample, "input.latents": latents, "output.mean": posterior.mean,
        "output.logvar": posterior.logvar, "output.sample": model.decode(latents).sample}


def vq(side):
    from diffusers import VQModel
    model = VQModel(down_block_types=["DownEncoderBlock2D"] * 5,
                    up_block_types=["UpDecoderBlock2D"] * 5,
                    block_out_channels=[128, 256, 256, 512, 768], layers_per_block=2,
                    latent_channels=64, num_vq_embeddings=8192, mid_block_add_attention=False,
                    lookup_from_codebook=True).eval()
    sample = torch.rand(1, 3, side, side)
    latents = model.encode(sample).latents
    model.quantize.embedding.weight.normal_(0, latents.std().item())
    quantised, commitment, (_, _, ids) = model.quantize(latents)
    return "vqmodel", model, {
        "input.sample": sample, "output.latents": latents,
        "output.ids": ids.reshape(1, *latents.shape[2:]),
        "output.commitment": commitment.reshape(1), "output.sample": model.decode(latents).sample}


def uvit(side, **config):
    from diffusers import UVit2DModel
    model = UVit2DModel(sample_size=side, **config).eval()
    with torch.no_grad():  # response norms begin at zero
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    inputs = {"input_ids": torch.randint(0, 8256, (1, side, side)),
              "encoder_hidden_states": torch.randn(1, 77, 768),
              "pooled_text_emb": torch.randn(1, 768),
              "micro_conds": torch.tensor([[side * 16., side * 16., 0., 0., 6.]])}
    return "uvit", model, ({"input." + key: tensor for key, tensor in inputs.items()} |
                           {"output.logits": model(**inputs)})


CASES = {
    "sd15-unet": lambda: unet(64, cross_attention_dim=768, attention_head_dim=8),
    "sd21-unet": lambda: unet(96, cross_attention_dim=1024, attention_head_dim=[5, 10, 20, 20],
                              use_linear_projection=True, upcast_attention=True),
    "sd15-vae": lambda: vae(256, latent_channels=4),
    "sd3-vae": lambda: vae(256, latent_channels=16, use_quant_conv=False,
                           use_post_quant_conv=False, scaling_factor=1.5305, shift_factor=0.0609),
    "amused-vqvae": lambda: vq(256),
    "amused-256-uvit": lambda: uvit(16),
    "amused-512-uvit": lambda: uvit(32, downsample=True, upsample=True),
}


def compare(name, program):
    from safetensors.torch import save_file
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        folder = pathlib.Path(folder)
        kind, model, case = CASES[name]()
        model.save_pretrained(folder)
        largest = {key[len("output."):]: tensor.abs().max().item()
                   for key, tensor in case.items() if key.startswith("output.")}
        save_file({key: tensor.contiguous() for key, tensor in case.items()}, folder / "case")
        del model, case
        gc.collect()
        answer = subprocess.run(
            [program, "parity", "--module", kind, "--weights", folder, "--case", folder / "case",
             "--tolerance", "1e9", "--json"], check=True, capture_output=True, text=True).stdout
        for output, difference in json.loads(answer)["largest_difference"].items():
            relative = difference / max(largest[output], 1e-30)
            print(f"{name:16}{output:12}{difference:12.2e}{relative:12.2e}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", default="build/rahf")
    parser.add_argument("--only", choices=CASES)
    arguments = parser.parse_args()
    print(f"{'model':16}{'output':12}{'difference':>12}{'relative':>12}")
    for name in [arguments.only] if arguments.only else CASES:
        compare(name, arguments.program)


if __name__ == "__main__":
    main()
