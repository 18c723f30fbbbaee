// Answers the area of a rectangle: the event {"length": 6, "width": 7} gives 42.

const calculateArea = (length, width) => length * width;

export const handler = async (event, context) => {
  const area = calculateArea(event.length, event.width);
  console.log(`The area is ${area}`);
  console.log('CloudWatch log group: ', context.logGroupName);
  return JSON.stringify({ area });
};
