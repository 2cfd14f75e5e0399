#include "rahf/core/draw/picture_grid.h"

#include <algorithm>

#include "rahf/core/draw/canvas.h"
#include "rahf/core/error.h"

namespace rahf::draw {

Image picture_grid(const torch::Tensor& images, std::int64_t columns) {
  constexpr std::int64_t kLine = 2;
  if (images.dim() != 4 || images.size(0) == 0 || columns <= 0) {
    throw ShapeError("picture_grid: images must be [N, 3, H, W] with N > 0, and columns > 0");
  }
  const auto host = images.to(torch::kCPU);
  const auto count = host.size(0), height = host.size(2) + kLine, width = host.size(3) + kLine;
  columns = std::min(columns, count);
  const auto rows = (count + columns - 1) / columns;
  Canvas canvas(rows * height - kLine, columns * width - kLine, {255, 255, 255});
  for (std::int64_t i = 0; i < count; ++i) {
    canvas.image(i % columns * width, i / columns * height, to_image(host[i]));
  }
  return std::move(canvas.picture());
}

}  // namespace rahf::draw
