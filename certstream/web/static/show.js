// Hands the document (document.js) to AsyncAPI's component. Errors would need its parser, which is not here.
const config = { show: { errors: false, sidebar: true }, expand: { messageExamples: false } };
AsyncApiStandalone.render({ schema, config }, document.getElementById("asyncapi"));
