# SPDX-License-Identifier: Apache-2.0
"""The compiler's story: from a model as it was written to integers only.

Each pass changes the graph in place, or refuses the model by name. Between `imported` and `quantized` every meaning gets one
spelling; between `quantized` and `integer` every float operator goes into a table of integers.
"""

from __future__ import annotations

from collections.abc import Callable

from bitlens.graph.check import check_program
from bitlens.graph.graph import Graph, GraphError
from bitlens.graph.infer_shapes import infer_shapes
from bitlens.graph.rewrite import drop_dead
from bitlens.graph.spec import CompileError, check_stage
from bitlens.passes.adopt_inputs import adopt_inputs
from bitlens.passes.anchor_crops import anchor_crops
from bitlens.passes.detach_tails import detach_tails
from bitlens.passes.drop_identities import drop_identities
from bitlens.passes.expand_integer_products import expand_integer_products
from bitlens.passes.find_grids import find_grids
from bitlens.passes.find_multiples import find_multiples
from bitlens.passes.find_step_tables import find_step_tables
from bitlens.passes.fold_constants import fold_constants
from bitlens.passes.fold_shuffles import fold_shuffles
from bitlens.passes.fuse_chains import fuse_chains
from bitlens.passes.join_forks import join_forks
from bitlens.passes.lift_sequences import lift_sequences
from bitlens.passes.lower_elementwise import lower_elementwise
from bitlens.passes.lower_joins import lower_joins
from bitlens.passes.lower_lookups import lower_lookups
from bitlens.passes.lower_pools import lower_pools
from bitlens.passes.lower_products import lower_products
from bitlens.passes.lower_slices import lower_slices
from bitlens.passes.lower_space_to_depth import lower_space_to_depth
from bitlens.passes.lower_upsamples import lower_upsamples
from bitlens.passes.merge_duplicates import merge_duplicates
from bitlens.passes.move_channels_last import move_channels_last
from bitlens.passes.pair_quantizers import pair_quantizers
from bitlens.passes.refuse_wrapping import refuse_wrapping
from bitlens.passes.requantize_joins import mirror_requantizers, requantize_joins
from bitlens.passes.settle_layouts import expand_channels_last, settle_layouts
from bitlens.passes.settle_outputs import settle_outputs
from bitlens.passes.settle_states import settle_states
from bitlens.passes.sink_max_pools import sink_max_pools
from bitlens.passes.sink_moves import sink_moves
from bitlens.passes.split_border_averages import split_border_averages
from bitlens.passes.unify_operators import unify_operators
from bitlens.passes.verify_program import verify_program

__all__ = ["ONE_FORM", "QUANTIZED", "TO_INTEGERS", "lower_to_integers"]

Pass = Callable[[Graph], None]

ONE_FORM: tuple[Pass, ...] = (
    lift_sequences,  # leaves: maps of height 1 for sequences
    settle_layouts,  # leaves: channels on axis 1, Transposes only where they cannot go
)

QUANTIZED: tuple[Pass, ...] = (
    fold_constants,  # leaves: weights as integers with grid and unit, nothing computed from constants
    infer_shapes,  # needs: inputs with shapes, pads and sizes as constants. leaves: a shape for every tensor
    lower_lookups,  # needs: constants folded. leaves: lookups in tables of integers
    refuse_wrapping,  # needs: integer inputs as the file has them. leaves: no arithmetic of 8 bits
    expand_integer_products,  # needs: constants folded. leaves: Conv and MatMul for products of codes
    pair_quantizers,  # leaves: one quantizer where QuantizeLinear and DequantizeLinear stood
    detach_tails,  # leaves: outputs in front of softmax and argmax
    unify_operators,  # needs: shapes. leaves: one operator for each meaning, pads and strides as numbers
    fold_shuffles,  # needs: reshapes told by shapes. leaves: no shuffle in parts
    lower_elementwise,  # leaves: chains of one operator each in place of float operators and quantizers
    join_forks,  # needs: chains. leaves: one function where both factors of a product are functions of one tensor
    lower_slices,  # leaves: select, crop and depth_to_space
    lower_upsamples,  # leaves: upsample, and a Conv behind it for a transposed one
    sink_moves,  # needs: chains. leaves: flattening next to the matrix product behind it, upsampling behind quantizers
    lower_space_to_depth,  # needs: moves sunk. leaves: concats of strided pixels
    lower_products,  # needs: moves sunk. leaves: convs for products, their biases as chains
    split_border_averages,  # needs: pads as numbers. leaves: averages of one divisor, and convs and adds for the others
    lower_pools,  # leaves: max_pool and sum_pool
    lower_joins,  # leaves: add and concat, no reshape
    anchor_crops,  # leaves: crops that look at tensors which live on
    merge_duplicates,  # needs: chains. leaves: one quantizer where several layers quantize one tensor alike
    adopt_inputs,  # needs: duplicates merged. leaves: inputs that are integers
    find_grids,  # needs: integer inputs. leaves: grid and unit of every integer tensor, or a refusal
)

TO_INTEGERS: tuple[Pass, ...] = (
    fuse_chains,  # leaves: one chain between two integer tensors
    sink_max_pools,  # needs: chains fused. leaves: no pool of real values
    find_step_tables,  # needs: pools sunk. leaves: steps and rescale, float operators in front of outputs alone
    settle_outputs,  # needs: tables found, so that a scale is read by users alone. leaves: sums with scale and offset
    drop_identities,  # needs: tables. leaves: no table that gives back what it gets
    merge_duplicates,  # leaves: one table where forks had made two alike
    drop_dead,
)


def lower_to_integers(
    graph: Graph,
    *,
    allow_requantize: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
    observe: Callable[[str, Graph], None] | None = None,
) -> Graph:
    """Compile a graph.

    Args:
        graph: at the imported stage; it is left as it was.
        allow_requantize: bring operands without a common unit onto one, which changes the model by a bound that the
            metadata states; else they are refused.
        progress: called with a pass's name, its place and the number of passes, before it runs.
        observe: called with a pass's name and the graph that it leaves; "read" and the graph at first.

    Returns:
        A graph at the integer stage, which has passed `check_program` and equals the model on sample images.

    Raises:
        CompileError: the model cannot be compiled exactly; the sentence names the layer, the reason and the remedy.
    """
    before, behind = QUANTIZED[: QUANTIZED.index(find_grids)], QUANTIZED[QUANTIZED.index(find_grids) :]
    quantized = (*before, requantize_joins, *behind) if allow_requantize else QUANTIZED
    total = len(ONE_FORM) + len(quantized) + len(TO_INTEGERS) + 4
    steps = iter(range(total))

    def begin(name: str) -> None:
        if progress is not None:
            progress(name, next(steps), total)

    def run(passes: tuple[Pass, ...], target: Graph) -> None:
        for rewrite in passes:
            begin(rewrite.__name__)
            rewrite(target)
            if observe is not None:
                observe(rewrite.__name__, target)

    imported = graph.copy()
    expand_channels_last(imported)
    check_stage(imported, "imported")
    if observe is not None:
        observe("read", imported)
    run(ONE_FORM, imported)
    integer = imported.copy()
    run(quantized, integer)
    check_stage(integer, "quantized")
    mirror_requantizers(integer, imported)
    outputs = [*integer.outputs]
    run(TO_INTEGERS, integer)
    begin("move_channels_last")
    names = move_channels_last(integer)
    if observe is not None:
        observe("move_channels_last", integer)
    run((settle_states, find_multiples), integer)
    try:
        check_stage(integer, "integer")
        check_program(integer)
    except CompileError:
        raise
    except GraphError as error:
        raise CompileError(f"{error}; integer programs have no other form, change the model") from error
    begin("verify_program")
    fold_constants(imported)  # quantizers whose scales and bit widths the file computes
    infer_shapes(imported)
    verify_program(imported, integer, names, outputs)
    return integer
