#include "rahf/core/io/safetensors.h"

#include <cstring>

#include "rahf/core/error.h"
#include "rahf/core/io/atomic_file.h"
#include "support/broken_files.h"
#include "support/catch.h"
#include "support/paths.h"
#include "support/scratch.h"

using rahf::FileError;
using rahf::io::Metadata;
using rahf::io::read_file;
using rahf::io::read_safetensors;
using rahf::io::read_weights;
using rahf::io::TensorMap;
using rahf::io::write_atomically;
using rahf::io::write_safetensors;

namespace {

std::string with_header(const std::string& header, const std::string& data) {
  const std::uint64_t size = header.size();
  std::string file(sizeof size, '\0');
  std::memcpy(file.data(), &size, sizeof size);
  return file + header + data;
}

// Reads `content` as a file; what is wrong with it, or nothing.
std::string complaint(const ScratchFolder& folder, const std::string& content) {
  write_atomically(folder / "x.safetensors", content);
  try {
    // Everything read is also touched.
    for (const auto& [name, tensor] : read_safetensors(folder / "x.safetensors").tensors) {
      tensor.clone();
    }
    return "";
  } catch (const FileError& error) {
    return error.what();
  }
}

std::string entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"x":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets +
         "}}";
}

}  // namespace

// From tools/fixtures/make_safetensors_fixtures.py.
TEST_CASE("read_safetensors reads what the reference package wrote", "[core][safetensors]") {
  const auto file = read_safetensors(rahf::test::fixtures() / "io/reference.safetensors");
  const auto& tensors = file.tensors;
  const auto& metadata = file.metadata;
  CHECK(metadata == Metadata{{"format", "pt"}});
  CHECK(tensors.size() == 19);
  const auto real = torch::tensor({{0.0, 1.0, -1.5}, {2.0, 64.0, 448.0}}, torch::kDouble);
  const auto whole = torch::tensor({{0, 1, 2}, {3, 100, 127}}, torch::kLong);
  for (const auto& [name, dtype] :
       {std::pair("float64", torch::kDouble), std::pair("float32", torch::kFloat),
        std::pair("float16", torch::kHalf), std::pair("bfloat16", torch::kBFloat16),
        std::pair("float8_e4m3fn", torch::kFloat8_e4m3fn),
        std::pair("float8_e5m2", torch::kFloat8_e5m2)}) {
    INFO(name);
    CHECK(tensors.at(name).scalar_type() == dtype);
    const auto expected = real.to(dtype).to(torch::kDouble);
    CHECK(tensors.at(name).to(torch::kDouble).equal(expected));
  }
  for (const auto& [name, dtype] :
       {std::pair("uint8", torch::kByte), std::pair("int8", torch::kChar),
        std::pair("int16", torch::kShort), std::pair("uint16", torch::kUInt16),
        std::pair("int32", torch::kInt), std::pair("uint32", torch::kUInt32),
        std::pair("int64", torch::kLong), std::pair("uint64", torch::kUInt64)}) {
    INFO(name);
    CHECK(tensors.at(name).scalar_type() == dtype);
    CHECK(tensors.at(name).to(torch::kLong).equal(whole));
  }
  CHECK(tensors.at("bool").equal(torch::tensor({true, false, true})));
  CHECK(tensors.at("scalar").dim() == 0);
  CHECK(tensors.at("scalar").item<float>() == 3.25F);
  CHECK(tensors.at("empty").sizes() == torch::IntArrayRef({0, 4}));
  CHECK(tensors.at("complex64").equal(torch::complex(real, -real).to(torch::kComplexFloat)));
  CHECK(tensors.count("with space and \u00fc") == 1);
}

TEST_CASE("write_safetensors writes the reference package's bytes", "[core][safetensors]") {
  const ScratchFolder folder;
  const std::string reference = rahf::test::fixtures() / "io/reference.safetensors";
  const auto file = read_safetensors(reference);
  const auto& tensors = file.tensors;
  const auto& metadata = file.metadata;
  write_safetensors(folder / "x.safetensors", tensors, metadata);
  CHECK(read_file(folder / "x.safetensors") == read_file(reference));
}

TEST_CASE("write_safetensors writes views, gradients and nothing at all", "[core][safetensors]") {
  const ScratchFolder folder;
  const auto matrix = torch::arange(6.0).view({2, 3});
  write_safetensors(
      folder / "x.safetensors",
      {{"t", matrix.t()}, {"row", matrix.select(0, 1)}, {"leaf", matrix.clone().requires_grad_()}});
  const auto read = read_safetensors(folder / "x.safetensors");
  CHECK(read.tensors.at("t").equal(matrix.t()));
  CHECK(read.tensors.at("row").equal(matrix[1]));
  CHECK(read.tensors.at("leaf").equal(matrix));
  CHECK(read.metadata.empty());
  write_safetensors(folder / "empty.safetensors", {});
  CHECK(read_safetensors(folder / "empty.safetensors").tensors.empty());
}

TEST_CASE("Tensors outlive the file and one another", "[core][safetensors]") {
  const ScratchFolder folder;
  write_safetensors(folder / "x.safetensors", {{"a", torch::ones(5)}, {"b", torch::arange(3.0)}});
  auto tensors = read_safetensors(folder / "x.safetensors").tensors;
  const auto kept = tensors.at("b").slice(0, 1);
  tensors.clear();
  write_safetensors(folder / "x.safetensors", {{"other", torch::zeros(100)}});
  std::filesystem::remove(folder / "x.safetensors");
  CHECK(kept.equal(torch::tensor({1.0F, 2.0F})));
}

TEST_CASE("read_safetensors moves numbers that are not aligned", "[core][safetensors]") {
  const ScratchFolder folder;
  const float value = 2.5F;
  const std::string data(reinterpret_cast<const char*>(&value), sizeof value);
  const auto header = entry("F32", "[1]", "[0,4]");
  for (int spaces = 0; spaces < 8; ++spaces) {
    write_atomically(folder / "x", with_header(header + std::string(spaces, ' '), data));
    const auto tensor = read_safetensors(folder / "x").tensors.at("x");
    CHECK(tensor.item<float>() == value);
    CHECK(reinterpret_cast<std::uintptr_t>(tensor.data_ptr()) % 4 == 0);
  }
}

TEST_CASE("read_weights joins shards, and prefers one whole file", "[core][safetensors]") {
  const auto all = read_weights(rahf::test::fixtures() / "io/shards");
  CHECK(all.tensors.size() == 2);
  CHECK(all.tensors.at("x").equal(torch::arange(3.0)));
  CHECK(all.tensors.at("y.z").equal(torch::eye(2)));

  const ScratchFolder folder;
  write_safetensors(folder / "unet.safetensors", {{"whole", torch::ones(1)}});
  write_atomically(folder / "unet.safetensors.index.json", "broken");
  CHECK(read_weights(folder.path(), "unet").tensors.count("whole") == 1);
  REQUIRE_THROWS_MATCHES(read_weights(folder.path()), FileError,
                         Says("must hold model.safetensors or model.safetensors.index.json"));
}

TEST_CASE("read_weights says what is wrong with an index", "[core][safetensors][errors]") {
  const ScratchFolder folder;
  write_safetensors(folder / "inside/a.safetensors", {{"x", torch::ones(1)}});
  write_safetensors(folder / "outside.safetensors", {{"x", torch::ones(1)}});
  const auto [index, message] = GENERATE(table<std::string, std::string>({
      {R"({"weight_map":{"x":"../outside.safetensors"}})", "must map to a file of this folder"},
      {R"({"weight_map":{"x":"/etc/passwd"}})", "must map to a file of this folder"},
      {R"({"weight_map":{"x":".."}})", "must map to a file of this folder"},
      {R"({"weight_map":{"x":""}})", "must map to a file of this folder"},
      {R"({"weight_map":{"x":"a.safetensors\u0000"}})", "must map to a file of this folder"},
      {R"({"weight_map":{"x":7}})", "'x' must map to a file name"},
      {R"({"weight_map":{"y":"a.safetensors"}})", "'y' must be in a.safetensors, is not"},
      {R"({"weight_map":{"x":"b.safetensors"}})", "b.safetensors: cannot be opened"},
      {R"({"weight_map":[]})", "must have an object weight_map"},
      {R"({})", "must have an object weight_map"},
      {R"(7)", "must have an object weight_map"},
      {R"({"weight_map")", "model.safetensors.index.json: broken JSON"},
      {R"({"weight_map":{"x":"a.safetensors","x":"b"}})", "the key 'x' is there twice"},
  }));
  write_atomically(folder / "inside/model.safetensors.index.json", index);
  REQUIRE_THROWS_MATCHES(read_weights(folder / "inside"), FileError, Says(message));
}

TEST_CASE("read_safetensors says what is wrong with a file", "[core][safetensors][errors]") {
  const ScratchFolder folder;
  const std::string four(4, '\0');
  const auto says = [&](const std::string& content, const std::string& message) {
    INFO(content << "\nexpected: " << message);
    CHECK(complaint(folder, content).find(message) != std::string::npos);
  };
  REQUIRE(complaint(folder, with_header(entry("F32", "[1]", "[0,4]"), four)).empty());

  says("", "x.safetensors: is too short");
  says(std::string(8, '\xFF'), "the header claims 18446744073709551615 bytes");
  says(std::string("\1\0\0\0\0\0\0\0", 8), "is cut off in the header");
  says(with_header("", ""), "the header must be a JSON object");
  says(with_header(" {}", ""), "the header must be a JSON object");
  says(with_header("{", ""), "broken JSON");
  says(with_header("{}{}", ""), "broken JSON");
  says(with_header("{\"\xFF\":1}", ""), "broken JSON");
  says(with_header(std::string(100000, '{'), ""), "broken JSON");
  says(with_header("{}", "x"), "must hold 0 bytes of data, got 1");
  says(with_header(entry("F32", "[1]", "[0,4]"), "abc"), "must hold 4 bytes of data, got 3");
  says(with_header(entry("F32", "[2]", "[0,4]"), four), "needs 8 bytes, its offsets give 4");
  says(with_header(entry("F31", "[1]", "[0,4]"), four), "has an unknown dtype F31");
  says(with_header(entry("F32", "[1]", "[4,0]"), four), "ends before it begins");
  says(with_header(entry("F32", "[1]", "[4,8]"), four + four), "must begin at byte 0");
  says(with_header(entry("F32", "[1]", "[-4,0]"), four), "whole numbers as offsets");
  says(with_header(entry("F32", "[1]", "[0.0,4]"), four), "whole numbers as offsets");
  says(with_header(entry("F32", "[1]", "[0]"), four), "must have dtype, shape and two");
  says(with_header(entry("F32", "1", "[0,4]"), four), "must have dtype, shape and two");
  says(with_header(entry("F32", "[-1]", "[0,4]"), four), "a shape of whole numbers");
  says(with_header(entry("F32", "[1e0]", "[0,4]"), four), "a shape of whole numbers");
  says(with_header(entry("F32", "[4294967296,4294967296]", "[0,0]"), ""), "larger than any file");
  says(with_header(entry("F32", "[4611686018427387904,4]", "[0,0]"), ""), "larger than any file");
  says(with_header(entry("F32", "[0,4294967296,4294967296]", "[0,0]"), ""), "larger than any file");
  says(with_header(entry("U8", "[18446744073709551615]", "[0,4]"), four), "larger than any file");
  says(with_header(entry("BOOL", "[4]", "[0,4]"), std::string("\0\1\2\0", 4)), "only 0 and 1");
  says(with_header(R"({"x":7})", ""), "must have dtype, shape and two data_offsets");
  says(with_header(R"({"__metadata__":7})", ""), "__metadata__ must be an object");
  says(with_header(R"({"__metadata__":{"a":1}})", ""), "must map to strings, 'a' does not");
  says(with_header(R"({"__metadata__":{},"__metadata__":{}})", ""), "is there twice");

  // Two tensors over the same bytes, and two with bytes between them that belong to none.
  const auto two = [](const std::string& first, const std::string& second) {
    return R"({"a":{"dtype":"U8","shape":[2],"data_offsets":)" + first +
           R"(},"b":{"dtype":"U8","shape":[2],"data_offsets":)" + second + "}}";
  };
  CHECK(complaint(folder, with_header(two("[0,2]", "[2,4]"), four)).empty());
  CHECK(complaint(folder, with_header(two("[2,4]", "[0,2]"), four)).empty());
  says(with_header(two("[0,2]", "[1,3]"), "abc"), "'b' must begin at byte 2 of the data, got 1");
  says(with_header(two("[0,2]", "[0,2]"), "ab"), "(a hole or an overlap)");
  says(with_header(two("[0,2]", "[3,5]"), "abcde"), "'b' must begin at byte 2 of the data, got 3");

  REQUIRE_THROWS_MATCHES(read_safetensors(folder / "absent"), FileError,
                         Says("absent: cannot be opened"));
  REQUIRE_THROWS_MATCHES(read_safetensors(folder.path()), FileError,
                         Says("must be a regular file"));
}

TEST_CASE("read_safetensors refuses every file that is cut off", "[core][safetensors][errors]") {
  const ScratchFolder folder;
  for_each_prefix(read_file(rahf::test::fixtures() / "io/shards/a-1.safetensors"),
                  [&](const std::string& part, std::size_t size) {
                    INFO(size);
                    CHECK_FALSE(complaint(folder, part).empty());
                  });
}

TEST_CASE("read_safetensors survives flipped bits", "[core][safetensors][errors]") {
  const ScratchFolder folder;
  int refused = 0;
  for_each_bit_flip(read_file(rahf::test::fixtures() / "io/shards/a-2.safetensors"),
                    [&](const std::string& broken, std::size_t) {
                      if (!complaint(folder, broken).empty()) ++refused;
                    });
  CHECK(refused > 300);
}

TEST_CASE("write_safetensors names what it cannot write", "[core][safetensors][errors]") {
  const ScratchFolder folder;
  const auto path = folder / "x.safetensors";
  REQUIRE_THROWS_MATCHES(write_safetensors(path, {{"a", torch::Tensor()}}), FileError,
                         Says("x.safetensors: tensor 'a' is undefined"));
  REQUIRE_THROWS_MATCHES(write_safetensors(path, {{"__metadata__", torch::ones(1)}}), FileError,
                         Says("has a name that the format reserves"));
  REQUIRE_THROWS_MATCHES(write_safetensors(path, {{"a", torch::zeros(1, torch::kComplexDouble)}}),
                         FileError,
                         Says("has a dtype that the format does not know: ComplexDouble"));
  REQUIRE_THROWS_MATCHES(write_safetensors(path, {{"\xFF", torch::ones(1)}}), FileError,
                         Says("must be UTF-8"));
  CHECK_FALSE(std::filesystem::exists(path));
}
