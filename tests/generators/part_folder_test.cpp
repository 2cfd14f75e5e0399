#include "rahf/generators/part_folder.h"

#include <filesystem>
#include <fstream>

#include "rahf/core/error.h"
#include "rahf/core/io/safetensors.h"
#include "rahf/core/nn/layers.h"
#include "rahf/core/nn/weights.h"
#include "support/catch.h"
#include "support/scratch.h"

using namespace rahf;

namespace {

constexpr const char* kFile = "diffusion_pytorch_model.safetensors";

/// Layers named as an old checkpoint's attention.
struct Block : torch::nn::Module {
  Block() {
    to_q = register_module("to_q", nn::Linear(2, 2));
    key = register_module("key", nn::Linear(2, 3));
  }
  nn::Linear to_q{nullptr}, key{nullptr};
};

io::TensorMap good() {
  return {{"to_q.weight", torch::ones({2, 2})},
          {"to_q.bias", torch::ones({2})},
          {"key.weight", torch::ones({3, 2})},
          {"key.bias", torch::ones({3})}};
}

/// Resident memory of this process now, in bytes.
std::int64_t resident() {
  std::int64_t total = 0, pages = 0;
  std::ifstream("/proc/self/statm") >> total >> pages;
  return pages * 4096;
}

}  // namespace

TEST_CASE("load_part takes the names of old attention layers, flat or as 1 x 1 convolutions",
          "[generators][part]") {
  const ScratchFolder folder;
  struct Parent : torch::nn::Module {
    Parent() { block = register_module("layers", std::make_shared<Block>()); }
    std::shared_ptr<Block> block;
  } parent;
  io::TensorMap inner;
  for (const auto& [name, tensor] : good()) inner["layers." + name] = tensor;
  inner.erase("layers.to_q.weight");
  inner["layers.query.weight"] = torch::full({2, 2, 1, 1}, 3.F);
  io::write_safetensors(folder / kFile, inner);
  generators::load_part(parent, folder.path());
  CHECK(parent.block->to_q->weight.min().item<float>() == 3);
  CHECK(parent.block->key->weight.min().item<float>() == 1);  // its present name is not an old one
}

TEST_CASE("load_part lists all that does not fit and changes nothing", "[generators][part]") {
  const ScratchFolder folder;
  auto tensors = good();
  tensors.erase("to_q.bias");
  tensors["key.weight"] = torch::ones({2, 3});
  tensors["extra"] = torch::ones({1});
  io::write_safetensors(folder / kFile, tensors);
  Block block;
  const auto before = block.to_q->weight.detach().clone();
  REQUIRE_THROWS_MATCHES(generators::load_part(block, folder.path()), CheckpointError,
                         Says("surplus extra [1]") && Says("missing to_q.bias [2]") &&
                             Says("key.weight must be [3, 2], got [2, 3]"));
  CHECK(torch::equal(block.to_q->weight, before));
}

TEST_CASE("load_part reads the fp16 variant and its shards", "[generators][part]") {
  const ScratchFolder folder;
  REQUIRE_THROWS_MATCHES(
      [&] {
        Block block;
        generators::load_part(block, folder.path());
      }(),
      FileError, Says("must hold diffusion_pytorch_model.safetensors or "));
  auto tensors = good();
  for (auto& [name, tensor] : tensors) tensor = tensor.to(torch::kHalf);
  io::write_safetensors(folder / "diffusion_pytorch_model.fp16.safetensors", tensors);
  Block block;
  generators::load_part(block, folder.path());
  CHECK(block.key->weight.scalar_type() == torch::kFloat);
  CHECK(block.key->weight.min().item<float>() == 1);

  const ScratchFolder sharded;
  std::ofstream(sharded / "diffusion_pytorch_model.safetensors.index.fp16.json") << R"({
    "metadata": {}, "weight_map": {"to_q.weight": "a.safetensors", "to_q.bias": "a.safetensors",
                                   "key.weight": "b.safetensors", "key.bias": "b.safetensors"}})";
  io::write_safetensors(sharded / "a.safetensors", {{"to_q.weight", torch::full({2, 2}, 2.F)},
                                                    {"to_q.bias", torch::ones({2})}});
  io::write_safetensors(sharded / "b.safetensors",
                        {{"key.weight", torch::ones({3, 2})}, {"key.bias", torch::ones({3})}});
  generators::load_part(block, sharded.path());
  CHECK(block.to_q->weight.min().item<float>() == 2);
}

TEST_CASE("load_part needs no more memory than the module and one tensor", "[generators][part]") {
  constexpr std::int64_t kLayers = 16, kSide = 1024;  // 64 MiB in all
  const auto build = [] {
    auto layers = std::make_shared<torch::nn::Module>();
    for (std::int64_t i = 0; i < kLayers; ++i) {
      layers->register_module("l" + std::to_string(i),
                              nn::Linear(torch::nn::LinearOptions(kSide, kSide).bias(false)));
    }
    return layers;
  };
  const ScratchFolder folder;
  io::write_safetensors(folder / kFile, nn::weights(*build()));
  const auto before = resident();
  const nn::WithoutInitialisation scope;
  const auto layers = build();
  const auto built = resident();
  constexpr std::int64_t kSize = kLayers * kSide * kSide * 4;
  CHECK(built - before < kSize / 10);
  generators::load_part(*layers, folder.path());
  CHECK(resident() - before < kSize + kSize / 10);
}
