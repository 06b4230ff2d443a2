/** The version of this compiler, stored in what it compiles; a test holds it to package.json. */
export const toolVersion = '0.1.0';
