// A measured figure, as the table and the JSON file show it.
export interface Figure {
  readonly name: string;
  readonly unit: string;
  readonly ours: number;
  /** What it is compared with. */
  readonly baseline?: number;
  readonly ratio?: number;
  readonly target?: { readonly is: 'at least' | 'at most'; readonly of: number };
  /** Whatever else is worth keeping. */
  readonly details: Readonly<Record<string, unknown>>;
}

/** Whether the target is met: by the ratio where there is a baseline, else by the figure itself. */
export function isMet({ ours, ratio, target }: Figure): boolean | undefined {
  if (target === undefined) return undefined;
  const value = ratio ?? ours;
  return target.is === 'at least' ? value >= target.of : value <= target.of;
}
