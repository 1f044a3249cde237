// The description of the `parallel:` section.
#include "orthant/mesh/parallel_config.h"

namespace orthant {

void Describe(Fields& fields, ParallelConfig& config) {
  fields.Integer("data", &config.data)
      .AtLeast(1)
      .Unit("ranks")
      .Doc(
          "Data degree: replicas of the model, each on its own samples; data x micro_batch divides "
          "global_batch.");
  fields.Integer("tensor", &config.tensor)
      .AtLeast(1)
      .Unit("ranks")
      .Doc("Tensor degree: ranks that share each matrix; divides model.heads.");
  fields.Integer("pipeline", &config.pipeline)
      .AtLeast(1)
      .Unit("ranks")
      .Doc("Pipeline degree: stages that share the layers; at most model.layers.");
  fields.Integer("sequence", &config.sequence)
      .AtLeast(1)
      .Unit("ranks")
      .Doc(
          "Sequence degree: ranks that share each sample's tokens (Ulysses); divides heads / tensor and "
          "context.");
  fields.Texts("order", &config.order)
      .Doc("Rank order of the axes, outermost first; the last one's groups are neighbouring ranks.");
  fields.Integer("zero", &config.zero)
      .AtLeast(0)
      .AtMost(3)
      .Doc(
          "ZeRO stage inside data x sequence (arXiv 1910.02054): 0 keeps everything whole; 1 shards the "
          "optimiser's "
          "state, 2 gradients too, 3 parameters too.");
  fields.Choice("schedule", &config.schedule, {"gpipe", "1f1b"})
      .Doc("Pipeline schedule: gpipe runs all forwards first, 1f1b holds fewer activations.");
  fields.Bool("tensor_sequence", &config.tensor_sequence)
      .Doc(
          "Shard norms and residuals along the sequence inside the tensor group (arXiv 2205.05198); tensor "
          "divides context / sequence.");
  fields.Integers("stages", &config.stages)
      .Unit("layers")
      .Doc(
          "Layers of each pipeline stage, as [3, 4, 3], summing to model.layers; empty: balanced, the head's "
          "cost counted in.");
  fields.Choice("placement", &config.placement, {"by_host", "as_launched"})
      .Doc(
          "Which process is which rank, under a launcher: by_host keeps tensor groups on one host, then "
          "sequence groups, however the launcher has spread the processes; as_launched takes them in its "
          "order.");
}

}  // namespace orthant
