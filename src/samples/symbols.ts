/** The sizes a model leaves open, as given inputs fill them in. */
import { givenInputs, symbolOf } from '../analysis/open-sizes.ts';
import type { Model } from '../graph/model.ts';
import type { Tensors } from './sample-set.ts';

/** Size by the file's own symbol. Where inputs disagree the first says. */
export const symbolsOf = (model: Model, feeds: Tensors): ReadonlyMap<string, number> => {
  const found = new Map<string, number>();
  for (const input of givenInputs(model))
    feeds.get(input.name)?.dims.forEach((size, axis) => {
      const symbol = symbolOf(input, axis);
      if (symbol !== undefined && !found.has(symbol)) found.set(symbol, size);
    });
  return found;
};
