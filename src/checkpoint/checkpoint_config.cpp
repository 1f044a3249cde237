#include "orthant/checkpoint/checkpoint_config.h"

namespace orthant {

void Describe(Fields& fields, CheckpointConfig& config) {
  fields.Integer("every", &config.every)
      .AtLeast(0)
      .Unit("steps")
      .Doc("Steps between saves; 0: not by steps.");
  fields.Real("every_minutes", &config.every_minutes)
      .AtLeast(0)
      .Unit("minutes")
      .Doc("Time between saves, whatever the steps; 0: not by time.");
  fields.Bool("at_end", &config.at_end)
      .Doc("Save after the last step too (a stop by signal or train.stop_at always saves).");
  fields.Choice("content", &config.content, {"all", "parameters"})
      .Doc("What is saved: all of the training state, or the parameters alone, from which no run can go on.");
  fields.Integer("keep_last", &config.keep_last).AtLeast(1).Doc("Newest checkpoints that are kept.");
  fields.Integer("keep_every", &config.keep_every)
      .AtLeast(0)
      .Unit("steps")
      .Doc("Checkpoints of steps that are multiples of this are kept for ever; 0: none.");
  fields.Bool("asynchronous", &config.asynchronous)
      .Doc("Write while training goes on; a step waits at most for a copy in host memory.");
  fields.Integer("writers", &config.writers)
      .AtLeast(0)
      .Unit("ranks")
      .Doc("Ranks that write files, each for its neighbours too; 0: every rank writes its own.");
  fields.Text("resume", &config.resume)
      .Doc(
          "Where a run whose folder holds checkpoints goes on: latest (the newest that is whole), a step, or "
          "never (it starts again).");
}

}  // namespace orthant
