#pragma once

#include "rahf/core/error.h"

namespace rahf {

/// A prompt is not one that the model can read: too long, say. Others of the batch may be.
class PromptError : public Error {
 public:
  using Error::Error;
};

}  // namespace rahf
