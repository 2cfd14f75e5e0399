#include "rahf/core/io/resize.h"

#include <cstring>

#include "rahf/core/error.h"
#include "rahf/core/io/safetensors.h"
#include "support/catch.h"
#include "support/paths.h"

using rahf::Image;
using rahf::ShapeError;
using rahf::io::resize;
using rahf::io::ResizeFilter;

namespace {

Image image_of(const torch::Tensor& pixels) {
  Image image(pixels.size(0), pixels.size(1));
  std::memcpy(image.pixels.data(), pixels.const_data_ptr(), image.pixels.size());
  return image;
}

}  // namespace

TEST_CASE("resize equals Pillow bit for bit", "[core][resize]") {
  // From tools/fixtures/make_image_fixtures.py.
  const auto fixtures =
      rahf::io::read_safetensors(rahf::test::fixtures() / "io/resize.safetensors").tensors;
  int compared = 0;
  for (const auto& [name, pixels] : fixtures) {
    if (!name.starts_with("in.")) continue;
    const auto number = name.substr(2);
    for (const auto& [filter_name, filter] : {std::pair("bilinear", ResizeFilter::kBilinear),
                                              std::pair("bicubic", ResizeFilter::kBicubic)}) {
      const auto expected = image_of(fixtures.at(filter_name + number));
      INFO(filter_name << number << ": " << pixels.sizes() << " to " << expected.height << " x "
                       << expected.width);
      CHECK(resize(image_of(pixels), expected.height, expected.width, filter) == expected);
      ++compared;
    }
  }
  CHECK(compared == 26);
}

TEST_CASE("resize averages the pixels it merges", "[core][resize]") {
  Image image(1, 4);
  const std::uint8_t grey[] = {0, 100, 100, 200};
  for (int x = 0; x < 4; ++x) std::fill_n(image.at(0, x), 3, grey[x]);
  // A tent over 4 pixels around 1.0 and 3.0 has weights 1, 3, 3, 1 in eighths; at the border the
  // part that is outside is left out: (3*0 + 3*100 + 100) / 7 and (100 + 3*100 + 3*200) / 7.
  const auto half = resize(image, 1, 2);
  CHECK(int(*half.at(0, 0)) == 57);
  CHECK(int(*half.at(0, 1)) == 143);
}

TEST_CASE("resize of tensors agrees with that of pictures up to rounding", "[core][resize]") {
  const auto [height, width] = GENERATE(table<int, int>({{7, 5}, {29, 31}, {16, 4}}));
  const auto generator = torch::make_generator<at::CPUGeneratorImpl>(1);
  Image image(13, 17);
  const auto levels = torch::randint(0, 256, {13, 17, 3}, generator, torch::kByte);
  std::memcpy(image.pixels.data(), levels.const_data_ptr(), image.pixels.size());
  const auto tensor = resize(rahf::to_tensor(image).unsqueeze(0), height, width);
  const auto picture = rahf::to_tensor(resize(image, height, width)).unsqueeze(0);
  REQUIRE(tensor.sizes() == picture.sizes());
  // Two roundings of half a level each.
  CHECK((tensor - picture).abs().max().item<double>() * 255 <= 1.01);
}

TEST_CASE("resize of maps equals that of one-channel pictures", "[core][resize]") {
  const auto maps = torch::rand({2, 6, 7});
  const auto resized = resize(maps, 3, 14);
  CHECK(resized.sizes() == torch::IntArrayRef({2, 3, 14}));
  CHECK(resized.equal(resize(maps.unsqueeze(1), 3, 14).squeeze(1)));
}

TEST_CASE("resize of tensors has the gradient that finite differences show", "[core][resize]") {
  auto input = torch::rand({1, 1, 5, 4}, torch::kDouble).requires_grad_();
  const auto weights = torch::rand({1, 1, 3, 6}, torch::kDouble);
  const auto value = [&](const torch::Tensor& x) { return (resize(x, 3, 6) * weights).sum(); };
  value(input).backward();
  const torch::NoGradGuard no_grad;
  for (std::int64_t i = 0; i < input.numel(); ++i) {
    auto shifted = input.detach().clone();
    constexpr double kStep = 1e-3;
    shifted.view(-1)[i] += kStep;
    const auto up = value(shifted).item<double>();
    shifted.view(-1)[i] -= 2 * kStep;
    const auto slope = (up - value(shifted).item<double>()) / (2 * kStep);
    CHECK(input.grad().view(-1)[i].item<double>() == Approx(slope).margin(1e-9));
  }
}

TEST_CASE("resize refuses sizes that are not positive", "[core][resize][errors]") {
  REQUIRE_THROWS_MATCHES(resize(Image(2, 3), 0, 4), ShapeError,
                         Says("resize: sizes must be positive, got 2 x 3 to 0 x 4"));
  REQUIRE_THROWS_MATCHES(resize(Image(), 2, 2), ShapeError, Says("got 0 x 0"));
  REQUIRE_THROWS_MATCHES(resize(torch::rand({2, 3}), 2, 2), ShapeError,
                         Says("images must be [B, C, H, W] or [B, H, W], got [2, 3]"));
  REQUIRE_THROWS_MATCHES(resize(torch::rand({1, 2, 3}), 2, -1), ShapeError, Says("to 2 x -1"));
}
