#include "rahf/core/image.h"

#include "rahf/core/error.h"
#include "rahf/core/shapes.h"

namespace rahf {

torch::Tensor to_tensor(const Image& image) {
  const auto bytes = torch::from_blob(const_cast<std::uint8_t*>(image.pixels.data()),
                                      {image.height, image.width, 3}, torch::kByte);
  return bytes.permute({2, 0, 1}).to(torch::kFloat, false, true, torch::MemoryFormat::Contiguous) /
         255;
}

Image to_image(const torch::Tensor& picture) {
  Shapes shapes("to_image");
  const bool grey = picture.defined() && picture.dim() == 3 && picture.size(0) == 1;
  shapes.check("picture", picture, {grey ? 1 : 3, "H", "W"});
  if (!picture.is_floating_point()) {
    throw ShapeError("to_image: picture must be of a float type, got " + picture.toString());
  }
  Image image(picture.size(1), picture.size(2));
  const auto levels = (picture.detach().to(torch::kFloat) * 255)
                          .nan_to_num(0)
                          .round()
                          .clamp(0, 255)
                          .to(torch::kCPU, torch::kByte)
                          .permute({1, 2, 0});  // [H, W, 3]
  torch::from_blob(image.pixels.data(), {image.height, image.width, 3}, torch::kByte).copy_(levels);
  return image;
}

}  // namespace rahf
