"""A trained network in use: timelines, microphone, export, enrolment, adaptation, and scores on other clips."""
