"""The pages of received mail.

messages, latest_per_account, search      the lists (chosen: how one is narrowed; new_messages: "2 new")
team_filters, team_marks                  what the team notes of a message, and lists by it
message, conversation, parse_warnings     the page of a message (message_lookup finds it; message_print: for paper)
message_parts, previews, remote_images    its source, its attachments and their pictures, the images of its HTML
invitations, invitation_words             the events of a calendar part
"""
