#pragma once

#include <stdexcept>

namespace rahf {

/// Base of everything this library throws on purpose. The text reads
/// *where: what was required, got what came (hint)*.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};
/// A tensor has the wrong rank, size or element type. The caller can fix it.
class ShapeError : public Error {
 public:
  using Error::Error;
};
/// An option is out of range, unknown, or contradicts another one.
class ConfigError : public Error {
 public:
  using Error::Error;
};
/// A file cannot be read, decoded or written, or does not hold what it should.
class FileError : public Error {
 public:
  using Error::Error;
};
/// A checkpoint or a weights folder does not fit the program that loads it.
class CheckpointError : public Error {
 public:
  using Error::Error;
};
/// A loss, gradient or reward became NaN or infinite.
class NonFiniteError : public Error {
 public:
  using Error::Error;
};

}  // namespace rahf
