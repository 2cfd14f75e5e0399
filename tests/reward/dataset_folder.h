#pragma once

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include "rahf/core/io/image_file.h"
#include "rahf/reward/data/annotation.h"
#include "rahf/reward/data/dataset.h"
#include "support/scratch.h"

/// A picture in which every pixel differs from its neighbours: red counts columns, green rows.
inline rahf::Image counting_picture(std::int64_t height, std::int64_t width,
                                    std::uint8_t blue = 0) {
  rahf::Image picture(height, width);
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; ++x) {
      const std::uint8_t pixel[] = {static_cast<std::uint8_t>(x), static_cast<std::uint8_t>(y),
                                    blue};
      std::copy_n(pixel, 3, picture.at(y, x));
    }
  }
  return picture;
}

/// Someone's feedback with nothing marked.
inline rahf::reward::Annotation feedback(const std::string& image, const std::string& prompt,
                                         const std::string& annotator, std::int64_t score) {
  return {.image = image,
          .prompt = prompt,
          .annotator = annotator,
          .implausible_points = {},
          .misaligned_points = {},
          .misaligned_words = {},
          .scores = {score, score, score, score}};
}

/// Row `i` of a dataset with heatmaps of 8 x 8, every field a function of i.
inline rahf::reward::DatasetRow counting_row(std::int64_t i) {
  rahf::reward::DatasetRow row;
  row.image = std::to_string(i) + ".png";
  row.prompt = "prompt " + std::to_string(i);
  row.picture = rahf::io::encode_png(counting_picture(8, 8, static_cast<std::uint8_t>(i)));
  row.height = row.width = 8;
  row.scores = {0.25f, 0.5f, 0.75f, static_cast<float>(i) / 1024};
  row.implausibility = torch::full({8, 8}, i % 256, torch::kByte);
  row.misalignment = torch::arange(64, torch::kByte).reshape({8, 8});
  row.misaligned_words = {0, static_cast<std::uint8_t>(i % 2)};
  row.annotations = {feedback(row.image, row.prompt, "ann", 1 + i % 5)};
  row.split = static_cast<rahf::reward::Split>(i % 3);
  return row;
}

/// A dataset file of rows [begin, end) of that kind.
inline std::filesystem::path write_counting(const std::filesystem::path& file, std::int64_t begin,
                                            std::int64_t end) {
  rahf::reward::DatasetWriter writer(file, 8, {{"source", "test"}});
  std::vector<rahf::reward::DatasetRow> rows;
  for (auto i = begin; i < end; ++i) rows.push_back(counting_row(i));
  writer.append(rows);
  writer.finish();
  return file;
}
