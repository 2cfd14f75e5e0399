#include "verbs.h"

namespace rahf::program {

const std::vector<Verb>& verbs() {
  static const std::vector<Verb> all = {
      {"world", "writes closed-world pictures, annotations and truth", run_world},
      {"dataset", "annotations to datasets, and their statistics", run_dataset},
      {"train", "trains a reward on annotated pictures", run_train},
      {"evaluate", "measures rewards against annotators, beside the ceiling", run_evaluate},
      {"predict", "judges pictures: scores, heatmaps, overlays, missed words", run_predict},
      {"overview", "one sheet: what a reward says beside what people said", run_overview},
      {"pretrain", "trains an autoencoder or a generator from nothing", run_pretrain},
      {"generate", "samples pictures for prompts", run_generate},
      {"inpaint", "redraws parts of pictures", run_inpaint},
      {"guide", "samples with a reward at the wheel", run_guide},
      {"repair", "paints again what a reward marks as implausible", run_repair},
      {"compare", "two generators side by side, by a judge", run_compare},
      {"inspect", "what the closed world's inspector sees in pictures", run_inspect},
      {"finetune", "finetunes a generator on a reward, by any objective", run_finetune},
      {"study", "a table of finetuning runs, one per config and seed", run_study},
      {"parity", "compares a module with another implementation's outputs", run_parity},
  };
  return all;
}

}  // namespace rahf::program
