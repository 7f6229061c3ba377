// The server and the user of the test.
function variable(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set`);
  return value;
}

export const url = variable("PAWL_URL");
export const login = variable("PAWL_LOGIN");
export const password = variable("PAWL_PASSWORD");
