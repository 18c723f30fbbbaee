"""Answers the area of a rectangle: the event {"length": 6, "width": 7} gives 42."""

import json
import logging

logger = logging.getLogger()
logger.setLevel(logging.INFO)


def lambda_handler(event, context):
    area = calculate_area(event["length"], event["width"])
    print(f"The area is {area}")
    logger.info("CloudWatch logs group: %s", context.log_group_name)
    return json.dumps({"area": area})


def calculate_area(length, width):
    return length * width
