import { z } from 'zod';

/** A whole number of at most ten digits. */
export const whole = (fallback: number, least: number, most: number): z.ZodType<number, string | undefined> =>
  z
    .string()
    .refine((text) => /^[0-9]{1,10}$/.test(text) && Number(text) >= least && Number(text) <= most, {
      error: `must be a whole number from ${least} to ${most}`,
    })
    .transform(Number)
    .default(fallback);

/** True or false, false when unset. */
export const flag: z.ZodType<boolean, string | undefined> = z
  .enum(['true', 'false', '1', '0'], { error: 'must be true or false' })
  .transform((text) => text === 'true' || text === '1')
  .default(false);

/** A URL with one of these protocols. */
export const url = (protocols: readonly string[], example: string): z.ZodString =>
  z.string().refine((text) => URL.canParse(text) && protocols.includes(new URL(text).protocol), {
    error: `must be a URL such as ${example}`,
  });
