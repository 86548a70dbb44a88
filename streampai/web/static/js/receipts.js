// A command that reaches several platforms answers per platform:
// {"platforms": {"twitch": {…} or {"error": {code, message, …}}}}. Pure.

/** {done: [platform], failed: [{platform, error}], messages: {platform: message id}} */
export function receipts(result) {
  const entries = Object.entries(result?.platforms ?? {}).map(([platform, answer]) => [platform, answer ?? {}]);
  return {
    done: entries.filter(([, answer]) => !answer.error).map(([platform]) => platform),
    failed: entries.filter(([, answer]) => answer.error).map(([platform, { error }]) => ({ platform, error })),
    messages: Object.fromEntries(entries.filter(([, answer]) => answer.message_id).map(([platform, answer]) => [platform, answer.message_id])),
  };
}
