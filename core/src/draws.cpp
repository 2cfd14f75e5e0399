#include "rahf/core/draws.h"

#include "rahf/core/error.h"

namespace rahf {
namespace {

template <class Fill>
torch::Tensor fill_rows(const Draws& draws, std::string_view purpose, std::int64_t step,
                        at::IntArrayRef sizes, torch::Device device, Fill fill) {
  if (sizes.empty()) throw ShapeError("Draws: sizes must begin with the number of samples");
  auto all = torch::empty(sizes, torch::kFloat);
  for (std::int64_t row = 0; row < sizes[0]; ++row) {
    auto generator = draws.random.generator(purpose, step, draws.first + row);
    fill(all[row], generator);
  }
  return all.to(device);
}

}  // namespace

torch::Tensor Draws::normal(std::string_view purpose, std::int64_t step, at::IntArrayRef sizes,
                            torch::Device device) const {
  return fill_rows(
      *this, purpose, step, sizes, device,
      [](torch::Tensor row, at::Generator& generator) { row.normal_(0, 1, generator); });
}

torch::Tensor Draws::uniform(std::string_view purpose, std::int64_t step, at::IntArrayRef sizes,
                             torch::Device device) const {
  return fill_rows(
      *this, purpose, step, sizes, device,
      [](torch::Tensor row, at::Generator& generator) { row.uniform_(0, 1, generator); });
}

}  // namespace rahf
