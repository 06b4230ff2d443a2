/** Which of a model's outputs a metric looks at. */
import { CompileError } from '../diagnostics/diagnostic.ts';
import * as say from '../diagnostics/messages-samples.ts';
import { DataType, type GraphValue, type Model } from '../graph/model.ts';
import { closest } from '../support/suggest.ts';

const floats: ReadonlySet<DataType> = new Set([DataType.FLOAT, DataType.DOUBLE, DataType.FLOAT16, DataType.BFLOAT16]);

/**
 * The asked output; else the only floating-point one, the one called logits, or the first [rows, classes]. Throws a
 * CompileError metric-output-unknown, metric-output-unclear.
 */
export const chosenOutput = ({ graph }: Model, asked?: string): GraphValue => {
  const known = graph.outputs.filter(({ type }) => floats.has(type?.dataType ?? 0));
  const names = known.map(({ name }) => name);
  const found =
    asked !== undefined
      ? known.find(({ name }) => name === asked)
      : known.length === 1
        ? known[0]
        : (known.find(({ name }) => name === 'logits') ?? known.find(({ type }) => type?.dims?.length === 2));
  if (found !== undefined) return found;
  if (asked !== undefined) throw new CompileError(say.metricOutputUnknown(asked, names, closest(asked, names)));
  throw new CompileError(
    names.length === 0 ? say.metricOutputUnknown('logits', names) : say.metricOutputUnclear(names),
  );
};
